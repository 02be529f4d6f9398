"""Images that a step could not treat and left as they were: counted, and named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

NAMED = 5  # files of each reason


def unchanged(index: pd.DataFrame, notes: Sequence[Sequence[tuple[str, str]]]) -> pd.DataFrame:
    """A row for each step that left an image as it was: step, reason, path, label. `notes`: of each row of `index`."""
    rows = [
        (step, reason, path, label)
        for path, label, own in zip(index["path"], index["label"], notes, strict=True)
        for step, reason in own
    ]
    table = pd.DataFrame(rows, columns=["step", "reason", "path", "label"])
    return table.astype({"label": index["label"].dtype})


def summary(table: pd.DataFrame, images: int) -> list[dict[str, Any]]:
    """One entry per step and reason, as steps.json has them: how many of `images`, of which classes, and the first."""
    return [
        {
            "step": step,
            "reason": reason,
            "images": len(rows),
            "of": images,
            "classes": {str(label): int(n) for label, n in rows["label"].value_counts(sort=False).items()},
            "first": rows["path"].head(NAMED).tolist(),
        }
        for (step, reason), rows in table.groupby(["step", "reason"])
    ]


def count(table: pd.DataFrame, crops: Sequence[str]) -> dict[str, float]:
    """Metrics: for each step that crops, how many images it left whole."""
    return {f"left_whole_by_{name}": int((table["step"] == name).sum()) for name in crops}


def sentences(entries: Sequence[dict[str, Any]]) -> list[str]:
    lines = []
    for entry in entries:
        classes = ", ".join(f"{label} {n:,}" for label, n in entry["classes"].items() if n)
        images = f"{entry['images']:,} of {entry['of']:,} images"
        lines.append(f"{entry['step']} left {images} as they were ({entry['reason']}): {classes}.")
    return lines
