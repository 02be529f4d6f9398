"""Models that differ in nothing but the seed of their sample are repeats: their means, and contrasts of these means.

The interval of a mean covers two kinds of luck, that of the test patients and that of the seeds: every draw takes
patients with replacement, and seeds with replacement. One seed is no repeat; its interval is of patients alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ..read import Member
from .draws import Draws


@dataclass(frozen=True)
class Cell:
    """One backbone and strategy at one size of training set. `at`: seed -> position among the members."""

    backbone: str
    strategy: str
    size: str
    at: dict[int, int] = field(default_factory=dict)


def sizes(members: Sequence[Member]) -> dict[str, str]:
    """Sample name -> the size of training set it is a repeat of, such as "10 a class".

    Without any repeats every sample keeps its name; so does one whose settings are missing from an older summary.json.
    """
    settings = {m.key.sample: m.summary["sample"] for m in members if m.summary.get("sample")}
    alike: dict[tuple[Any, ...], set[int]] = {}
    for sample in settings.values():
        alike.setdefault((sample["per_class"], sample["fraction"], sample["fold"]), set()).add(sample["seed"])
    names = {m.key.sample: m.key.sample for m in members}
    if max(map(len, alike.values()), default=1) == 1:
        return names
    folds = {sample["fold"] for sample in settings.values()}
    return names | {name: _size(sample, len(folds) > 1) for name, sample in settings.items()}


def _size(sample: Mapping[str, Any], with_fold: bool) -> str:
    whole = "all" if sample["fraction"] == 1 else f"{100 * sample['fraction']:g}%"
    size = f"{sample['per_class']} a class" if sample["per_class"] else whole
    return f"{size}, fold {sample['fold']}" if with_fold else size


def cells(members: Sequence[Member]) -> list[Cell]:
    """In the order of the matrix. Two samples with the same seed are the same training; the first stands for both."""
    size = sizes(members)
    by_place: dict[tuple[str, str, str], Cell] = {}
    for i, m in enumerate(members):
        place = m.key.backbone, m.key.strategy, size[m.key.sample]
        by_place.setdefault(place, Cell(*place)).at.setdefault(_seed(m), i)
    return list(by_place.values())


def _seed(m: Member) -> int:
    return int((m.summary.get("sample") or {}).get("seed", 0))


def images(members: Sequence[Member]) -> dict[str, float]:
    """Size -> training images, rounded mean over its samples: whole patients bring a few more or fewer."""
    size = sizes(members)
    counts = {m.key.sample: m.summary.get("train_images") for m in members}
    of: dict[str, list[float]] = {}
    for sample, n in counts.items():
        of.setdefault(size[sample], []).append(np.nan if n is None else n)
    return {name: values[0] if len(set(values)) == 1 else round(float(np.mean(values))) for name, values in of.items()}


def means(members: Sequence[Member], draws: Draws, metric: str, beside: str) -> pd.DataFrame:
    """One row per cell, the best mean first. `value…` is of the metric that decides, `value_sd` over seeds; another
    metric, `beside`, has its mean in a column of its name; `samples`: the names of the repeats."""
    n, rows = images(members), []
    for cell in cells(members):
        repeats = [members[i] for i in cell.at.values()]
        point, low, high = draws.mean_interval(list(cell.at.values()))
        values = [draws.point[i] for i in cell.at.values()]
        rows.append(
            {
                "backbone": cell.backbone, "strategy": cell.strategy, "sample": cell.size, "train_images": n[cell.size],
                "seeds": len(repeats), "value": point, "value_low": low, "value_high": high,
                "value_sd": np.std(values, ddof=1) if len(values) > 1 else np.nan,
                beside: np.mean([m.value("test", beside) for m in repeats]),
                "val_value": np.mean([m.value("val", metric) for m in repeats]),
                "confidence": draws.level, "samples": " ".join(m.key.sample for m in repeats),
            }
        )  # fmt: skip
    ascending = not draws.higher_is_better
    return pd.DataFrame(rows).sort_values("value", ascending=ascending, kind="stable", ignore_index=True)


def contrasts(members: Sequence[Member], draws: Draws, metric: str, baseline: str) -> pd.DataFrame:
    """Each strategy against `baseline` on the same backbone and size; empty without a baseline in the matrix.

    `low` and `high` are of the difference, `value_…` and `baseline_…` of the two means of the metric that decides;
    `verdict` is better, worse or undecided; `seeds`: how many either mean is over.
    """
    n, all_cells = images(members), cells(members)
    bases = {(c.backbone, c.size): c for c in all_cells if c.strategy == baseline}
    rows = []
    for cell in all_cells:
        base = bases.get((cell.backbone, cell.size))
        if base is not None and cell is not base:
            rows.append(
                {"backbone": cell.backbone, "sample": cell.size, "train_images": n[cell.size]}
                | {"strategy": cell.strategy} | _contrast(members, draws, metric, *paired(cell, base))
            )  # fmt: skip
    return pd.DataFrame(rows)


def paired(one: Cell, other: Cell) -> tuple[list[int], list[int]]:
    """Positions of the models to compare: of the seeds that both have, in the same order, or else all of each."""
    seeds = sorted(one.at.keys() & other.at.keys())
    return ([one.at[s] for s in seeds], [other.at[s] for s in seeds]) if seeds else (
        list(one.at.values()), list(other.at.values())
    )  # fmt: skip


def _contrast(members: Sequence[Member], draws: Draws, metric: str, own: list[int], base: list[int]) -> dict[str, Any]:
    seed_of = [[_seed(members[i]) for i in side] for side in (own, base)]
    difference, low, high = draws.difference_of_means(own, base, paired=seed_of[0] == seed_of[1])
    value, value_low, value_high = draws.mean_interval(own)
    base_value, base_low, base_high = draws.mean_interval(base)
    return {
        "value": value, "baseline_value": base_value,
        "val_value": np.mean([members[i].value("val", metric) for i in own]),
        "difference": difference, "low": low, "high": high,
        "value_low": value_low, "value_high": value_high, "baseline_low": base_low, "baseline_high": base_high,
        "verdict": draws.verdict(low, high), "seeds": min(len(own), len(base)),
    }  # fmt: skip
