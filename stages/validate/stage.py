"""The stage: names and inspections -> table -> checks -> manifest, summary, Data Docs."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..shared.core import metadata
from ..shared.core.errors import UserError
from ..shared.core.files import atomic, disk_full, write_json
from ..shared.core.job import Job, Result
from ..shared.core.paths import MANIFEST, PARAMS, RAW, SHORTCUTS, VALIDATION
from ..shared.core.progress import progress
from ..shared.images.archive import Archive
from .checks import (
    Outcome,
    Row,
    class_checks,
    drift_checks,
    file_checks,
    image_checks,
    mask_checks,
    row_outcomes,
    shortcut_checks,
)
from .compared import Compared
from .docs import finish
from .drift import FILE, GREY, differences
from .earlier import Earlier
from .globs import examples
from .inspection import Inspection, inspections
from .names import Files, assign
from .params import Params
from .table import annotation, mask_table, table

if TYPE_CHECKING:
    from .shortcuts.measure import Measurement

DOCS = VALIDATION.parent / "data_docs"
FEW = 0.1  # share of the images without a patient: more, and the expression is probably wrong
COLUMNS = (
    "path", "label", "patient", "site", "has_mask", "masks", "provided_split", "width", "height", "mode",
    "quantisation", "sha256", "dhash", "cluster", "brightness", "contrast", "sharpness", "readable",
    "quarantined", "reason",
)  # fmt: skip


def run(params: Params, job: Job) -> Result:
    archive = Archive(RAW)
    files = assign(archive.names(), params, archive.read)
    warn_of_patients(files.images, params)
    inspected = inspect_all(files, params)
    compared = Compared(params.near_duplicates)
    rows = table(files.images, files.masks, inspected, params, compared)
    keep_comparisons(compared)
    masks = mask_table(rows, inspected)
    try:
        outcomes, shortcuts = judge(rows, masks, files, inspected, params)
        manifest = set_aside(rows, faults(outcomes, rows, masks))
        summary = summarise(manifest, outcomes, params) | {"phantom": phantom(archive)}
        write_json(VALIDATION, summary)
        write_shortcuts(shortcuts)
        faulty = manifest[manifest["quarantined"]]
        finish(DOCS, summary, dict(zip(faulty["path"], faulty["reason"], strict=True)), shortcuts)
    except OSError as error:
        shutil.rmtree(DOCS, ignore_errors=True)
        raise disk_full(DOCS, error) or error from error
    refuse(outcomes, params)
    if summary["quarantined"]:
        aside = f"{summary['quarantined']:,} of {summary['images']:,} images"
        print(f"validate: {aside} set aside; which and why: {DOCS / 'index.html'}", file=sys.stderr)
    written = manifest[[*COLUMNS, *metadata.columns(manifest.columns)]]
    warn_of_shortcuts(shortcuts)
    with atomic(MANIFEST) as partial:
        written.to_parquet(partial, index=False)
    metrics = {**_metrics(manifest, summary), **(shortcuts.metrics if shortcuts else {})}
    return Result(metrics=metrics, datasets={"raw": written.drop(columns="masks")})


def warn_of_patients(images: pd.DataFrame, params: Params) -> None:
    where = f"{PARAMS}: validate.patient"
    unnamed = images["path"][images["patient"].isna()]
    if not params.has_patients:
        print(
            f"validate: patients are unknown ({where} is null): each image counts as a patient of its own. Images of "
            "one patient can then lie on both sides of the split, and scores and intervals may be optimistic. If the "
            "names of the files say who it is, set it to an expression that finds that; a table of labels may have "
            "a column of patients.",
            file=sys.stderr,
        )
    elif params.patient and len(unnamed) > FEW * len(images):
        print(
            f"validate: {where}: {params.patient!r} finds no patient in {len(unnamed):,} of {len(images):,} names, "
            f"such as {examples(unnamed.tolist(), 3)}. Is it meant for another image set?",
            file=sys.stderr,
        )


def warn_of_shortcuts(shortcuts: Measurement | None) -> None:
    warnings = shortcuts.warnings if shortcuts else []
    if warnings:
        print(
            f"validate: Possible shortcut: the label can be told without the disease: {'; '.join(warnings)}. What a "
            f"model that sees only this sees: {DOCS / 'index.html'}",
            file=sys.stderr,
        )


def inspect_all(files: Files, params: Params) -> list[Inspection]:
    paths = files.images["path"].tolist()
    masks = [annotation(files.masks[path]) for path in paths]
    hash_size, headers = params.near_duplicates.hash_size, params.dicom.patient or bool(params.dicom.metadata)
    earlier = Earlier(hash_size, headers)
    known = earlier.find(Archive(RAW), paths, masks)
    new = [i for i, inspection in enumerate(known) if inspection is None]
    if len(new) < len(paths):
        print(
            f"validate: {len(paths) - len(new):,} of {len(paths):,} images were inspected by an earlier run.",
            file=sys.stderr,
        )
    with inspections(RAW, [paths[i] for i in new], [masks[i] for i in new], hash_size, headers) as results:
        bar = progress(results, total=len(new), desc="validate", unit="images")  # its clock starts with the workers
        # Great Expectations takes seconds to import: meanwhile the workers inspect
        from . import suite  # noqa: F401
        from .shortcuts import measure  # noqa: F401

        computed = iter(list(bar))
    inspected = [inspection or next(computed) for inspection in known]
    try:
        if new:
            earlier.keep(paths, masks, inspected)
        else:
            earlier.use()
    except OSError as error:  # all is inspected; only the next run will have more to do
        print(f"validate: the next run cannot use these inspections: {error}", file=sys.stderr)
    return inspected


def keep_comparisons(compared: Compared) -> None:
    try:
        compared.keep()
    except OSError as error:  # as above
        print(f"validate: the next run cannot use these comparisons: {error}", file=sys.stderr)


def judge(
    rows: pd.DataFrame, masks: pd.DataFrame, files: Files, inspected: Sequence[Inspection], params: Params
) -> tuple[list[Outcome], Measurement | None]:
    """Great Expectations' verdict on the images, their masks, the files beside them, and the classes that are left; and
    whether the label of these can be told from what should not matter."""
    from . import expectations
    from .suite import Suites

    suites = Suites(DOCS)
    table = rows.drop(columns="masks").astype({"label": "str", "width": float, "height": float})
    outcomes = suites.run("images", table, [*image_checks(params), *expectations.read(params)])
    if len(masks):
        outcomes += suites.run("masks", masks.drop(columns="levels"), mask_checks(params))
    outcomes += suites.run("files", kinds(rows, files), file_checks(params))
    if params.labels and files.cells is not None:
        outcomes += row_outcomes(files.cells, params, params.labels.table)
    faulty = faults(outcomes, rows, masks)
    kept = np.flatnonzero(~rows["path"].isin(faulty))
    labels = rows["label"].iloc[kept]
    counts = {label: int((labels == label).sum()) for label in params.classes}
    outcomes += suites.run("classes", table.iloc[kept], class_checks(params, counts))
    for name, differing in drift(table.iloc[kept]).items():
        outcomes += suites.run(name, differing, [drift_checks(params)[name]])
    shortcuts = None
    if params.shortcuts.enabled and not refused(outcomes, params):
        shortcuts = shortcuts_of(rows, inspected, kept, params)
        if len(shortcuts.table):
            outcomes += suites.run("shortcuts", shortcuts.table, shortcut_checks(params))
    suites.write_docs()
    return outcomes, shortcuts


def drift(kept: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By the name of the check; none that has nothing to compare."""
    tables = {
        "classes_alike_in_file": differences(kept, kept["label"], FILE),
        "classes_alike_in_grey": differences(kept, kept["label"], GREY),
        "splits_alike": differences(kept, kept["provided_split"], (*FILE, *GREY)),
    }
    return {name: table for name, table in tables.items() if len(table)}


def shortcuts_of(rows: pd.DataFrame, inspected: Sequence[Inspection], kept: np.ndarray, params: Params) -> Measurement:
    """`kept`: positions of the images that are not set aside."""
    from .shortcuts.measure import measure, union

    boxes = [union([mask.box for mask in inspected[i].masks if mask.box]) for i in kept]
    return measure(
        rows.iloc[kept].reset_index(drop=True),
        [inspected[i].thumbnail or b"" for i in kept],
        [box for box in boxes if box],
        list(params.mask or {}),
        params.shortcuts,
    )


def write_shortcuts(shortcuts: Measurement | None) -> None:
    """shortcuts.json, and where there is something to show, scores.parquet and pictures.npz."""
    shutil.rmtree(SHORTCUTS, ignore_errors=True)
    if shortcuts is None:
        write_json(SHORTCUTS / "shortcuts.json", {"reason": "not measured", "meters": []})
        return
    write_json(SHORTCUTS / "shortcuts.json", shortcuts.numbers)
    with atomic(SHORTCUTS / "scores.parquet") as partial:
        shortcuts.scores.to_parquet(partial, index=False)
    with atomic(SHORTCUTS / "pictures.npz") as partial, partial.open("wb") as file:
        np.savez_compressed(file, **shortcuts.pictures)  # type: ignore[arg-type]  # names of arrays, no options


def kinds(rows: pd.DataFrame, files: Files) -> pd.DataFrame:
    """path and kind of every file that is not ignored."""
    masks = [path for own in files.masks.values() for path in (*(file.path for file in own.files), *own.spare)]
    kind = dict.fromkeys(rows["path"], "image") | dict.fromkeys(masks, "mask")
    kind |= dict.fromkeys(files.stray_masks, "mask without image") | dict.fromkeys(files.tables, "table")
    kind |= dict.fromkeys(files.others, "other")
    return pd.DataFrame(kind.items(), columns=["path", "kind"])


def faults(outcomes: Sequence[Outcome], rows: pd.DataFrame, masks: pd.DataFrame) -> dict[str, list[str]]:
    """image -> what is wrong with it and its masks, by the critical checks."""
    failing: dict[str, list[Callable[[Row], str]]] = {}
    for outcome in outcomes:
        if outcome.stops and outcome.check.reason:
            for path in outcome.failed:
                failing.setdefault(path, []).append(outcome.check.reason)
    reasons: dict[str, list[str]] = {}
    for faulty, image in ((rows, "path"), (masks, "image")):
        for row in faulty[faulty["path"].isin(failing)].to_dict("records"):
            reasons.setdefault(row[image], []).extend(reason(row) for reason in failing[row["path"]])
    return reasons


def set_aside(rows: pd.DataFrame, reasons: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """`quarantined` exactly where a critical check failed, and `reason` with all of them in words."""
    words = {path: "; ".join(faults) for path, faults in reasons.items()}
    return rows.assign(quarantined=rows["path"].isin(words), reason=rows["path"].map(words).astype("str"))


def summarise(manifest: pd.DataFrame, outcomes: Sequence[Outcome], params: Params) -> dict[str, Any]:
    kept = manifest[~manifest["quarantined"]]
    counts = kept["label"].value_counts()
    return {
        "success": not refused(outcomes, params),
        "images": len(manifest),
        "quarantined": int(manifest["quarantined"].sum()),
        "patients": int(manifest["patient"].nunique()),
        "patients_known": params.has_patients,
        "classes": {label: int(counts[label]) for label in params.classes},
        "structures": list(params.mask or {}),
        "annotated": int(kept["has_mask"].sum()),
        "checks": [outcome.summary() for outcome in outcomes],
    }


def phantom(archive: Archive) -> dict[str, Any] | None:
    """What the drawing program left in the archive about its images; None for images from elsewhere."""
    if "phantom.json" not in archive.names():
        return None
    try:
        answers = json.loads(archive.read("phantom.json"))
    except ValueError:  # somebody else's file of that name
        return None
    return {"findings": answers["findings"]} if isinstance(answers, dict) and "findings" in answers else None


def refused(outcomes: Sequence[Outcome], params: Params) -> list[Outcome]:
    """The critical failures that stop the pipeline: under quarantine, those that setting rows aside does not fix."""
    return [o for o in outcomes if o.stops and (params.on_failure == "stop" or not o.check.reason)]


def refuse(outcomes: Sequence[Outcome], params: Params) -> None:
    critical = refused(outcomes, params)
    if not critical:
        return
    lines = [f"{RAW}: critical checks failed ({len(critical)}), so nothing goes on from here."]
    for o in critical:
        images = f"{len(o.failed)} image{'s' * (len(o.failed) > 1)}: {examples(o.failed)}"
        lines.append(f"  {o.check.name}: {images if o.failed else o.check.description}")
    aside = f", set {PARAMS}: validate.on_failure to quarantine to leave these images out"
    advice = aside if params.on_failure == "stop" else ""
    lines.append(
        f"Each file with its reason: {DOCS / 'index.html'}. Correct the images or the patterns and limits in "
        f"{PARAMS}: validate{advice}, or give a check another severity there."
    )
    raise UserError("\n".join(lines))


def _metrics(manifest: pd.DataFrame, summary: Mapping[str, Any]) -> Mapping[str, float]:
    sizes = manifest["cluster"].value_counts()
    return {
        **{name: summary[name] for name in ("images", "quarantined")},
        **({"patients": summary["patients"]} if summary["patients_known"] else {}),
        **({"images_with_mask": summary["annotated"]} if summary["structures"] else {}),
        "duplicate_clusters": int((sizes > 1).sum()),
        "duplicate_images": int(sizes[sizes > 1].sum()),
        "failed_checks": sum(not check["success"] for check in summary["checks"]),
        # MLflow allows only these characters in the name of a metric
        **{f"images_{re.sub(r'[^A-Za-z0-9_. :/-]', '_', label)}": n for label, n in summary["classes"].items()},
    }
