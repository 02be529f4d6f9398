"""The stage: manifest -> split -> arrays, index, meta; all of data/processed/ or none of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from ..shared.arrays.content import CropToMask
from ..shared.arrays.masks import mask_files, structures_of
from ..shared.arrays.preprocessing import Preprocessor
from ..shared.core.errors import UserError
from ..shared.core.files import disk_full, write_json
from ..shared.core.job import Job, Result
from ..shared.core.paths import MANIFEST, PARAMS, PROCESSED, RAW, VALIDATION, report_dir
from ..shared.images.archive import Archive
from .arrays import ImageFile, write_arrays
from .card import card, overlaps
from .earlier import Earlier
from .figures import Source, draw
from .params import Params, Split
from .split import assign, patients_known, uneven_parts
from .unchanged import count, sentences, summary, unchanged


def run(params: Params, job: Job) -> Result:
    make = Preprocessor(params.spec, f"{PARAMS}: preprocess")
    rows = usable_rows()
    if (crop := make.crop_to_mask) is not None:
        check_masks(rows, crop)
    index = assign(rows, params.split).assign(mask_fits=not make.moves_pixels)
    warn(index, params.split)
    structures = structures_of(rows)
    files = [
        ImageFile(path, sha256, mask_files(masks, structures))
        for path, sha256, masks in zip(rows["path"], rows["sha256"], rows["masks"], strict=True)
    ]
    archive, earlier = Archive(RAW), Earlier(params.spec)
    with whole_folder(PROCESSED) as folder:
        written = write_arrays(folder, archive, files, make, earlier)
        index.to_parquet(folder / "index.parquet", index=False)
        content = proof(pd.read_parquet(folder / "index.parquet"), params.split)
        write_json(folder / "meta.json", _meta(index, structures, params, written.table.sha256))
    if written.computed < len(files):
        known = len(files) - written.computed
        print(f"preprocess: {known:,} of {len(files):,} images were computed by an earlier run.", file=sys.stderr)
    try:
        earlier.keep(PROCESSED, written.table)
    except OSError as error:  # the arrays are complete; only the next run will have more to do
        print(f"preprocess: the next run cannot use these rows: {error}", file=sys.stderr)
    left = unchanged(index, written.table.notes)
    entries = summary(left, len(index))
    write_json(report_dir("preprocess") / "steps.json", entries)
    write_json(report_dir("preprocess") / "split.json", content)
    for sentence in [*sentences(entries), *repairs(content)]:
        print(f"preprocess: {sentence}", file=sys.stderr)
    figures = draw(index, Source(archive, make, {file.path: file.masks for file in files}, structures), left, content)
    counts = {"images_computed": written.computed, **count(left, make.crops)}
    return Result(metrics={**_metrics(index), **counts}, figures=figures)


def usable_rows() -> pd.DataFrame:
    """The rows of the manifest that are not quarantined, in its order."""
    try:
        manifest = pd.read_parquet(MANIFEST)
    except FileNotFoundError:
        raise UserError(f"{MANIFEST}: missing. Run `dvc repro validate`.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{MANIFEST}: damaged ({error}). Run `dvc repro -f validate`.") from None
    rows = manifest[~manifest["quarantined"]].reset_index(drop=True)
    if rows.empty:
        raise UserError(f"{MANIFEST}: all {len(manifest)} images are quarantined. See {VALIDATION}.")
    return rows


def check_masks(rows: pd.DataFrame, crop: CropToMask) -> None:
    """Raises UserError when a crop to masks is asked for and there are none, or too few."""
    where, bare = f"{PARAMS}: preprocess.steps: CropToMask", rows[~rows["has_mask"]]
    if len(bare) == len(rows):
        raise UserError(f"{where}: no image has a mask. Say where masks lie in validate.mask, or remove the step.")
    if len(bare) and crop.without_mask == "refuse":
        counts = ", ".join(f"{label} {n:,}" for label, n in bare["label"].value_counts(sort=False).items() if n)
        raise UserError(
            f"{where}: {len(bare):,} of {len(rows):,} images have no mask ({counts}), the first is "
            f"{bare['path'].iloc[0]}. Leave them out with validate.ignore, or set without_mask: whole, which keeps "
            "them uncropped; where classes differ in how many have a mask, a model can then learn that instead."
        )


def warn(index: pd.DataFrame, split: Split) -> None:
    uneven = uneven_parts(index, split)
    if uneven:
        largest = index["group"].value_counts()
        patient = index["patient"][index["group"] == largest.index[0]].iloc[0]
        lines = [
            "preprocess: the parts of the split are uneven; scores of different parts compare badly.",
            *(f"  {line}" for line in uneven),
            f"  A group (a patient, or patients who share a picture) is never divided. The largest, with patient"
            f" {patient}, has {largest.iloc[0]} of {len(index)} images. Fewer folds or another seed may help.",
        ]
        print("\n".join(lines), file=sys.stderr)


def proof(index: pd.DataFrame, split: Split) -> dict[str, Any]:
    """The split card, counted on the index as it was written.

    Raises:
        RuntimeError: a patient, a file or a picture is in two parts. That is a fault of this program.
    """
    content = card(index, pd.read_parquet(MANIFEST), split)
    if overlaps(content):
        raise RuntimeError(f"the split leaks: {content['overlap']}")
    return content


def repairs(content: Mapping[str, Any]) -> list[str]:
    moved = content["moved"]
    if not moved["images"]:
        return []
    return [
        f"split.repair: images moved: {moved['images']:,}, of groups that the set's own split divides: "
        f"{moved['groups']:,}. Which: {report_dir('preprocess') / 'split.json'}"
    ]


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """An empty folder beside `path` that takes its place on success and is removed on any failure."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        shutil.rmtree(path, ignore_errors=True)
        partial.rename(path)
    except OSError as error:
        raise disk_full(path, error) or error from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _meta(index: pd.DataFrame, structures: list[str], params: Params, digest: str) -> Mapping[str, object]:
    facts = {
        "classes": list(index["label"].cat.categories),  # in their order: it decides what a model's outputs mean
        "structures": structures,  # in the order of their numbers in masks.npy, from 1
        "size": list(params.height_width),
        "channels": params.channels,
        "preprocess": params.spec.model_dump(mode="json"),
    }
    content = digest + index.to_csv(index=False) + json.dumps(facts, sort_keys=True)
    return {**facts, "fingerprint": hashlib.sha256(content.encode()).hexdigest()}


def _metrics(index: pd.DataFrame) -> Mapping[str, float]:
    parts = {f"images_{part}": int((index["split"] == part).sum()) for part in ("train", "val", "test")}
    units = ["patient", "group"] if patients_known(index) else ["group"]
    counts = {f"{unit}s_{part}": int(rows[unit].nunique()) for part, rows in index.groupby("split") for unit in units}
    if index["has_mask"].any():
        counts |= {f"images_with_mask_{part}": int(rows["has_mask"].sum()) for part, rows in index.groupby("split")}
    return {"images": len(index), "groups": int(index["group"].nunique()), **parts, **counts}
