"""The stage: names and looks -> table -> checks -> manifest, summary, Data Docs."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..shared.core.errors import UserError
from ..shared.core.files import atomic, disk_full, write_json
from ..shared.core.job import Job, Result
from ..shared.core.paths import MANIFEST, PARAMS, RAW, VALIDATION
from ..shared.core.progress import progress
from ..shared.images.archive import Archive
from .checks import Check, Outcome, class_checks, file_check, image_checks
from .docs import finish
from .globs import shown
from .members import Member, Members, assign
from .params import Params
from .scan import Look, looking
from .table import frame

if TYPE_CHECKING:
    import pandas as pd

DOCS = VALIDATION.parent / "data_docs"
COLUMNS = (
    "path", "label", "patient", "mask", "provided_split", "width", "height", "mode", "sha256", "dhash", "cluster",
    "brightness", "contrast", "sharpness", "readable", "quarantined", "reason",
)  # fmt: skip


def run(params: Params, job: Job) -> Result:
    archive = Archive(RAW)
    members = assign(archive.names(), params, archive.read)
    table = frame(members.images, look_at_all(members.images, params), params)
    try:
        outcomes = judge(table, members, params)
        manifest = set_aside(table, outcomes)
        summary = summarise(manifest, outcomes, params)
        write_json(VALIDATION, summary)
        finish(DOCS, summary)
    except OSError as error:
        shutil.rmtree(DOCS, ignore_errors=True)
        raise disk_full(DOCS, error) or error from error
    refuse(outcomes, params)
    if summary["quarantined"]:
        aside = f"{summary['quarantined']:,} of {summary['images']:,} images"
        print(f"validate: {aside} set aside; which and why: {DOCS / 'index.html'}", file=sys.stderr)
    with atomic(MANIFEST) as partial:
        manifest[list(COLUMNS)].to_parquet(partial, index=False)
    return Result(metrics=_metrics(manifest, outcomes), dataset=MANIFEST)


def look_at_all(images: Sequence[Member], params: Params) -> list[Look]:
    items = [(m.path, m.mask) for m in images]
    with looking(RAW, items, params.near_duplicates.hash_size) as chunks:
        from . import suite  # noqa: F401  Great Expectations takes seconds to import: meanwhile the workers look

        looks: list[Look] = []
        with progress(total=len(items), desc="validate", unit="image") as bar:
            for chunk in chunks:
                looks += chunk
                bar.update(len(chunk))
    return looks


def judge(table: pd.DataFrame, members: Members, params: Params) -> list[Outcome]:
    """Great Expectations' verdict on the images, on the files beside them, and on the classes that are
    left."""
    import pandas as pd

    from .suite import Suites

    suites = Suites(DOCS)
    plain = table.astype({"label": "str", "width": float, "height": float})
    outcomes = suites.run("images", plain, image_checks(params))
    masks = [m.mask for m in members.images if m.mask]
    kinds = (
        dict.fromkeys(table["path"], "image") | dict.fromkeys(masks, "mask") | dict.fromkeys(members.others, "other")
    )
    outcomes += suites.run("files", pd.DataFrame(kinds.items(), columns=["path", "kind"]), [file_check(params)])
    kept = plain[~plain["path"].isin(_failing(outcomes))]
    counts = {label: int((kept["label"] == label).sum()) for label in params.classes}
    outcomes += suites.run("classes", kept, class_checks(params, counts))
    suites.write_docs()
    return outcomes


def _failing(outcomes: Sequence[Outcome]) -> dict[str, list[Check]]:
    """path -> the critical checks that it fails."""
    failing: dict[str, list[Check]] = {}
    for outcome in outcomes:
        for path in outcome.failed if outcome.stops and outcome.check.reason else ():
            failing.setdefault(path, []).append(outcome.check)
    return failing


def set_aside(table: pd.DataFrame, outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """`quarantined` exactly where a critical check of the row failed, and `reason` with all of them in
    words."""
    failing = _failing(outcomes)
    rows = {row["path"]: row for row in table[table["path"].isin(failing)].to_dict("records")}
    reasons = {p: "; ".join(c.reason(rows[p]) for c in checks if c.reason) for p, checks in failing.items()}
    import pandas as pd

    reason = pd.array([reasons.get(path) for path in table["path"]], dtype="str")
    return table.assign(quarantined=table["path"].isin(failing).to_numpy(), reason=reason)


def summarise(manifest: pd.DataFrame, outcomes: Sequence[Outcome], params: Params) -> dict[str, Any]:
    kept = manifest[~manifest["quarantined"]]
    counts = kept["label"].value_counts()
    return {
        "success": not refused(outcomes, params),
        "images": len(manifest),
        "quarantined": int(manifest["quarantined"].sum()),
        "patients": int(manifest["patient"].nunique()),
        "classes": {label: int(counts[label]) for label in params.classes},
        "checks": [outcome.summary() for outcome in outcomes],
    }


def refused(outcomes: Sequence[Outcome], params: Params) -> list[Outcome]:
    """The critical failures that stop the pipeline: under quarantine, those that setting rows aside does not fix."""
    return [o for o in outcomes if o.stops and (params.on_failure == "stop" or not o.check.reason)]


def refuse(outcomes: Sequence[Outcome], params: Params) -> None:
    critical = refused(outcomes, params)
    if not critical:
        return
    lines = [f"{RAW}: critical checks failed ({len(critical)}), so nothing goes on from here."]
    for o in critical:
        count = f"{len(o.failed)} image{'s' * (len(o.failed) > 1)}"
        found = f"{count}: {shown(o.failed)}" if o.failed else o.check.description
        lines.append(f"  {o.check.name}: {found}")
    advice = "" if params.on_failure == "quarantine" else (
        f", set {PARAMS}: validate.on_failure to quarantine to leave these images out"
    )  # fmt: skip
    lines.append(
        f"Each file with its reason: {DOCS / 'index.html'}. Correct the images or the patterns and limits in "
        f"{PARAMS}: validate{advice}, or give a check another severity there."
    )
    raise UserError("\n".join(lines))


def _metrics(manifest: pd.DataFrame, outcomes: Sequence[Outcome]) -> Mapping[str, float]:
    sizes = manifest["cluster"].value_counts()
    kept = manifest[~manifest["quarantined"]]
    return {
        "images": len(manifest),
        "quarantined": int(manifest["quarantined"].sum()),
        "patients": int(manifest["patient"].nunique()),
        "duplicate_clusters": int((sizes > 1).sum()),
        "duplicate_images": int(sizes[sizes > 1].sum()),
        "failed_checks": sum(not o.success for o in outcomes),
        **{f"images_{_name(label)}": int(n) for label, n in kept["label"].value_counts().items()},
    }


def _name(label: str) -> str:
    """With what MLflow allows in the name of a metric."""
    return re.sub(r"[^A-Za-z0-9_\-. :/]", "_", label)
