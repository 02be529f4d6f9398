"""Models that differ in nothing but the seed of their sample are repeats: their means, and contrasts of these means.

The interval of a mean covers two kinds of luck, that of the test patients and that of the seeds: every draw takes
patients with replacement, and seeds with replacement. One seed is no repeat; its interval is of patients alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ..read import Member
from .draws import Draws

CELL = ["backbone", "strategy", "sample"]  # what the repeats of one training have in common


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


def trainings(members: Sequence[Member], metric: str, beside: str) -> pd.DataFrame:
    """One row per training, in the order of the matrix. Two samples with the same seed are the same training; the first
    stands for both.

    `at`: position among the members; `sample`: the size; `name`: of the sample; `train_images`: rounded mean over the
    samples of a size, since whole patients bring a few more or fewer; `val_value` and `beside`: metrics of the model.
    """
    size = sizes(members)
    rows = [
        {
            "at": at, "backbone": m.key.backbone, "strategy": m.key.strategy, "sample": size[m.key.sample],
            "name": m.key.sample, "seed": (m.summary.get("sample") or {}).get("seed", 0),
            "train_images": m.summary.get("train_images"), "val_value": m.value("val", metric),
            beside: m.value("test", beside),
        }
        for at, m in enumerate(members)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    images = table.drop_duplicates("name").groupby("sample")["train_images"].mean().round()
    return table.assign(train_images=table["sample"].map(images)).drop_duplicates([*CELL, "seed"])


def means(table: pd.DataFrame, draws: Draws, beside: str) -> pd.DataFrame:
    """One row per cell of `trainings`, the best mean first. `value…` is of the metric that decides, `value_sd` over
    seeds; another metric, `beside`, has its mean in a column of its name; `samples`: the names of the repeats."""
    rows = []
    for cell, repeats in table.groupby(CELL, sort=False):
        at = repeats["at"].tolist()
        value, low, high = draws.mean_interval(at)
        rows.append(
            dict(zip(CELL, cell, strict=True))
            | {
                "train_images": repeats["train_images"].iloc[0], "seeds": len(at),
                "value": value, "value_low": low, "value_high": high, "value_sd": pd.Series(draws.point[at]).std(),
                beside: repeats[beside].mean(skipna=False), "val_value": repeats["val_value"].mean(skipna=False),
                "confidence": draws.level, "samples": " ".join(repeats["name"]),
            }
        )  # fmt: skip
    ascending = not draws.higher_is_better
    return pd.DataFrame(rows).sort_values("value", ascending=ascending, kind="stable", ignore_index=True)


def contrasts(table: pd.DataFrame, draws: Draws, baseline: str) -> pd.DataFrame:
    """Each strategy of `trainings` against `baseline` on the same backbone and size; empty without a baseline in the
    matrix. Where both have the same seeds, these are compared in pairs; otherwise all of one with all of the other.

    `low` and `high` are of the difference, `value_…` and `baseline_…` of the two means of the metric that decides;
    `verdict` is better, worse or undecided; `seeds`: how many either mean is over.
    """
    cells, rows = dict(list(table.groupby(CELL, sort=False))), []
    for (backbone, strategy, sample), own in cells.items():
        base = cells.get((backbone, baseline, sample))
        if base is None or strategy == baseline:
            continue
        seeds = sorted({*own["seed"]} & {*base["seed"]})
        if seeds:
            own, base = (side.set_index("seed").loc[seeds] for side in (own, base))
        at, base_at = own["at"].tolist(), base["at"].tolist()
        difference, low, high = draws.difference_of_means(at, base_at, paired=bool(seeds))
        value, value_low, value_high = draws.mean_interval(at)
        base_value, base_low, base_high = draws.mean_interval(base_at)
        rows.append(
            {
                "backbone": backbone, "sample": sample, "train_images": own["train_images"].iloc[0],
                "strategy": strategy, "value": value, "baseline_value": base_value,
                "val_value": own["val_value"].mean(skipna=False), "difference": difference, "low": low, "high": high,
                "value_low": value_low, "value_high": value_high, "baseline_low": base_low, "baseline_high": base_high,
                "verdict": draws.verdict(low, high), "seeds": min(len(at), len(base_at)),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)
