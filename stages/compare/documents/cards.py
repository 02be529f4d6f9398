"""The card of one model: what it is, what it was made from, how well it does, what it is not for (after Mitchell et al.
2019, Model Cards for Model Reporting)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..numbers.comparison import Study
from ..page import operating
from ..read import Member
from ..text import count, number, signed, signed_span, span
from .checklist import AUTHORS
from .facts import Fact

VERDICTS = {
    "better": "is better than",
    "worse": "is worse than",
    "not shown to differ": "is not shown to differ from",
}


def card(study: Study, m: Member, facts: Mapping[str, Fact]) -> str:
    """Markdown."""
    row = study.models.set_index("key").loc[str(m.key)]
    summary, known = m.summary, study.data.validation.get("patients_known") is not False
    patients = f" of {count(summary['train_patients'])} patients" if known else ""
    made = {
        "Task": f"{study.params.task}: {', '.join(m.answers.classes)}",
        "Backbone": f"{m.key.backbone}, {count(summary['parameters'])} weights",
        "Weights trained": count(summary["trainable_parameters"]),
        "Strategy": m.key.strategy,
        "Starts from": summary["start"] or "random weights",
        "Training images": f"{count(summary['train_images'])}{patients} ({m.key.sample})",
        "Epoch": _epoch(m),
        "Code": summary["environment"].get("commit", "unknown"),
        "Predictions": f"predictions.parquet, SHA-256 {m.fingerprint}",
    }  # fmt: skip
    lines = [f"# Model card: {m.key}", "", "## What it is", "", *_list(made)]
    lines += [
        "",
        "## Intended use",
        "",
        facts["use"].text,
        "",
        *_open("who uses it, for which patients, for which decision"),
    ]
    lines += ["", "## Data", ""]
    lines += [f"- {facts[name].text}" for name in ("flow", "partition", "disjoint", "preprocessing") if name in facts]
    lines += ["", *_open("where the images come from, how labels were made, which groups are missing")]
    lines += [
        "",
        "## How well it does on the test images",
        "",
        *_metrics(study, row),
        "",
        *_point(m),
        *_beside(study, row),
    ]
    lines += ["", "## What to beware of", "", *_warnings(study, row, facts)]
    lines += ["", *_open("ethical questions, and who answers for the model")]
    lines += ["", "## Files", "", *_list(_files(m)), ""]
    return "\n".join(lines)


def _epoch(m: Member) -> str:
    if not m.learned:
        return "none: fitted in one pass"
    kept = m.summary["best_epoch"] + m.epoch_offset
    return f"{count(kept)} of {count(m.summary['epochs'])}, the best on validation"


def _files(m: Member) -> dict[str, str]:
    return {
        "Weights and recipe": f"`models/{m.key}/`",
        "Numbers": f"`reports/evaluate/{m.key}/metrics.json`",
        "Heat maps": f"`reports/explain/{m.key}/`",
        "In the report": f"[its section](../../index.html#{m.key})",
    }


def _list(values: Mapping[str, Any]) -> list[str]:
    return [f"- **{name}**: {value}" for name, value in values.items()]


def _open(what: str) -> list[str]:
    return [f"> **{AUTHORS}:** {what}."]


def _metrics(study: Study, row: Any) -> list[str]:
    lines = ["| Metric | Value | Interval |", "|---|---|---|"]
    for name, measure in study.task.metrics.items():
        lines.append(f"| {measure.label} | {number(row[name])} | {span(row[f'{name}_low'], row[f'{name}_high'])} |")
    return lines


def _point(m: Member) -> list[str]:
    """Where the numbers of predicted classes hold, and how far the probabilities are off."""
    own, calibration, lines = operating.points(m), m.metrics.get("calibration"), []
    if len(own) == 1:
        threshold = f"{number(own[0]['threshold'])}, {operating.decided(m)}"
        lines.append(f"“{own[0]['class']}” is predicted where the score is above {threshold}.")
    if calibration:
        before, after = (number(calibration[state]["ece"]["value"]) for state in ("before", "after"))
        lines.append(
            f"Calibration error (ECE) before and after calibration on validation images: {before} and {after}."
        )
    return [" ".join(lines), ""] if lines else []


def _beside(study: Study, row: Any) -> list[str]:
    place = f"Place {row['rank']} of {len(study.board)} by {study.measure.label}."
    if row["rank"] > 1:
        interval = signed_span(row.difference_low, row.difference_high)
        place += f" Difference to the first row: {signed(row.difference)} [{interval}]{', a tie' if row.tie else ''}."
    if study.floor is None:
        return [place]
    own = study.above.loc[row.name]
    return [
        f"{place} It {VERDICTS[own.verdict]} {study.floor.about['title']}, which needs no network: "
        f"{signed(own.difference)} [{signed_span(own.low, own.high)}]."
    ]


def _warnings(study: Study, row: Any, facts: Mapping[str, Fact]) -> list[str]:
    lines = [f"- {facts['external'].text}"]
    if isinstance(row.one_class, str):
        lines.append(f"- It predicts “{row.one_class}” for nearly all test images.")
    if "shortcuts" in facts and any(meter["flag"] for meter in study.data.shortcuts["meters"]):
        lines.append("- The label can be told from what should not matter: see Shortcuts in the report.")
    if study.data.validation.get("phantom"):
        lines.append("- The images are synthetic. The scores say nothing about patients.")
    return lines
