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

import pandas as pd

from ..shared.arrays.preprocessing import Preprocessor
from ..shared.core.errors import UserError
from ..shared.core.files import disk_full, write_json
from ..shared.core.job import Job, Result
from ..shared.core.paths import MANIFEST, PARAMS, PROCESSED, RAW, VALIDATION
from ..shared.images.archive import Archive
from .arrays import write_arrays
from .figures import draw
from .masks import mask_files, structures_of
from .params import Params, Split
from .split import assign, patients_known, uneven_parts


def run(params: Params, job: Job) -> Result:
    make = Preprocessor(params.spec, f"{PARAMS}: preprocess")
    rows = usable_rows()
    index = assign(rows, params.split).assign(mask_fits=not make.moves_pixels)
    warn(index, params.split)
    structures = structures_of(rows)
    masks = [mask_files(entries, structures) for entries in rows["masks"]]
    archive = Archive(RAW)
    with whole_folder(PROCESSED) as folder:
        digest = write_arrays(folder, archive, index["path"].tolist(), masks, make)
        index.to_parquet(folder / "index.parquet", index=False)
        write_json(folder / "meta.json", _meta(index, structures, params, digest))
    figures = draw(index, archive, make, masks, structures)
    return Result(metrics=_metrics(index), figures=figures)


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
