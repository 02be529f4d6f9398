"""Models that differ in nothing but the seed of their sample are repeats: their means, and contrasts of these means.

The interval of a mean covers two kinds of chance, that of the test patients and that of the seeds (draws.py). One seed
is no repeat: its interval is of patients alone, and says nothing of another training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ..read import Member
from .draws import Contrast, Draws
from .sites import trained_at

CELL = ["backbone", "strategy", "sample"]  # what the repeats of one training have in common
CONTRAST = [
    "backbone", "sample", "site", "train_images", "strategy", "value", "baseline_value", "val_value",
    "difference", "low", "high", "value_low", "value_high", "baseline_low", "baseline_high",
    "verdict", "seeds", "runs", "baseline_runs",
]  # fmt: skip


def sizes(members: Sequence[Member]) -> dict[str, str]:
    """Sample name -> the size of training set it is a repeat of, such as "10 a class".

    Without any repeats every sample keeps its name; so does one whose settings are missing from an older summary.json.
    """
    settings = {m.key.sample: m.summary["sample"] for m in members if m.summary.get("sample")}
    alike: dict[tuple[Any, ...], set[int]] = {}
    for sample in settings.values():
        size = (sample["per_class"], sample["fraction"], sample["fold"], trained_at(sample))
        alike.setdefault(size, set()).add(sample["seed"])
    names = {m.key.sample: m.key.sample for m in members}
    if max(map(len, alike.values()), default=1) == 1:
        return names
    folds = {sample["fold"] for sample in settings.values()}
    return names | {name: _size(sample, len(folds) > 1) for name, sample in settings.items()}


def _size(sample: Mapping[str, Any], with_fold: bool) -> str:
    whole = "all" if sample["fraction"] == 1 else f"{100 * sample['fraction']:g}%"
    size = f"{sample['per_class']} a class" if sample["per_class"] else whole
    size = f"{size}, {at}" if (at := trained_at(sample)) else size
    return f"{size}, fold {sample['fold']}" if with_fold else size


def several_sizes(train_images: pd.Series) -> bool:
    """The training sets differ in size. Folds, and samples of whole patients, have a few images more or fewer."""
    return bool(train_images.max() > 1.1 * train_images.min())


def trainings(members: Sequence[Member], metric: str, beside: str) -> pd.DataFrame:
    """One row per training, in the order of the matrix. Two samples with the same seed are the same training; the first
    stands for both.

    `at`: position among the members; `sample`: the size; `name`: of the sample; `site`: where it trained, empty for
    all; `kind`: a model, or neighbours; `train_images`: rounded mean over the samples of a size, since whole patients
    bring a few more or fewer;
    `val_value`, `beside`, and `low` and `high` of the metric that decides: of the model.
    """
    size = sizes(members)
    rows = [
        {
            "at": at, "backbone": m.key.backbone, "strategy": m.key.strategy, "sample": size[m.key.sample],
            "name": m.key.sample,
            "site": trained_at(m.summary.get("sample") or {}), "kind": m.kind,
            "seed": (m.summary.get("sample") or {}).get("seed", 0),
            "train_images": m.summary.get("train_images"), "val_value": m.value("val", metric),
            beside: m.value("test", beside), "low": m.value("test", metric, "low"),
            "high": m.value("test", metric, "high"),
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
        value, low, high = _mean(draws, repeats)
        rows.append(
            dict(zip(CELL, cell, strict=True))
            | {
                "kind": repeats["kind"].iloc[0], "site": repeats["site"].iloc[0],
                "train_images": repeats["train_images"].iloc[0], "seeds": len(at),
                "value": value, "value_low": low, "value_high": high, "value_sd": pd.Series(draws.point[at]).std(),
                beside: repeats[beside].mean(skipna=False), "val_value": repeats["val_value"].mean(skipna=False),
                "confidence": draws.level, "samples": " ".join(repeats["name"]),
            }
        )  # fmt: skip
    ascending = not draws.measure.higher_is_better
    return pd.DataFrame(rows).sort_values("value", ascending=ascending, kind="stable", ignore_index=True)


def _mean(draws: Draws, repeats: pd.DataFrame) -> tuple[float, float, float]:
    return draws.mean(repeats["at"].tolist(), list(zip(repeats["low"], repeats["high"], strict=True)))


def contrasts(table: pd.DataFrame, draws: Draws, baseline: str) -> pd.DataFrame:
    """Each strategy of `trainings` against `baseline` on the same backbone and size; empty without a baseline in the
    matrix. Seeds that both have are compared in pairs; where there are none, all of one with all of the other.

    `low` and `high` are of the difference, simultaneous over the strategies of one backbone and size; `value_…` and
    `baseline_…` of the two means of the metric that decides; `verdict` is better, worse or not shown to differ;
    `seeds`: how many either mean is over. With one, the contrast is of two trained models, not of two strategies.
    `runs` and `baseline_runs`: how often each was trained, also with seeds that the other does not have.
    """
    rows: dict[int, dict[str, object]] = {}
    for (backbone, sample), cells in table.groupby(["backbone", "sample"], sort=False):
        base = cells[cells["strategy"] == baseline]
        others = [own for _, own in cells.drop(base.index).groupby("strategy", sort=False) if len(base)]
        pairs = [paired(own, base) for own in others]
        differences = draws.differences(
            [Contrast(own["at"].tolist(), other["at"].tolist(), p) for own, other, p in pairs]
        )
        for (own, other, _), (difference, low, high), every in zip(pairs, differences, others, strict=True):
            value, value_low, value_high = _mean(draws, own)
            base_value, base_low, base_high = _mean(draws, other)
            rows[own["at"].min()] = {
                "backbone": backbone, "sample": sample, "site": own["site"].iloc[0],
                "train_images": own["train_images"].iloc[0],
                "strategy": own["strategy"].iloc[0], "value": value, "baseline_value": base_value,
                "val_value": own["val_value"].mean(skipna=False), "difference": difference, "low": low, "high": high,
                "value_low": value_low, "value_high": value_high, "baseline_low": base_low, "baseline_high": base_high,
                "verdict": draws.verdict(low, high), "seeds": min(len(own), len(other)),
                "runs": len(every), "baseline_runs": len(base),
            }  # fmt: skip
    return pd.DataFrame([rows[at] for at in sorted(rows)], columns=CONTRAST)  # in the order of the matrix


def paired(own: pd.DataFrame, base: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, bool]:
    """The trainings to compare, and whether they are pairs: of the same seeds, or one training of each, the first of
    the matrix, where one has no more and there is no such pair."""
    seeds = sorted({*own["seed"]} & {*base["seed"]})
    if not seeds and min(len(own), len(base)) == 1:
        return own.iloc[:1], base.iloc[:1], True
    if not seeds:
        return own, base, False
    own, base = (side.set_index("seed").loc[seeds] for side in (own, base))
    return own, base, True
