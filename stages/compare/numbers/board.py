"""The comparison as tables: one row per model, per contrast, per epoch, per point of a curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...shared.core.errors import UserError
from ...shared.measures.statistics import confusion as confusion_counts
from ...shared.measures.statistics import once, roc_curve
from ..read import Member, Missing
from . import contrasts

METRICS = (
    "auroc", "auprc", "balanced_accuracy", "accuracy", "sensitivity", "specificity", "ppv", "npv", "f1",
)  # fmt: skip
COST = ("parameters", "trainable_parameters", "epochs", "best_epoch", "seconds", "peak_memory_mb")


@dataclass(frozen=True)
class Draws:
    """AUROC of every model on the images (M,) and on each bootstrap draw (M, B)."""

    point: np.ndarray
    replicates: np.ndarray
    level: float  # coverage of the intervals, as evaluate's params have it
    seed: int = 0  # of the draws of seeds

    def difference(self, a: int, b: int) -> tuple[float, float, float]:
        """Model a minus model b: estimate, low, high."""
        return self.difference_of_means([a], [b])

    def mean(self, at: Sequence[int], stream: int = 0) -> tuple[float, np.ndarray]:
        """Over models that are repeats: estimate, and draws (B,) of patients and seeds alike."""
        weights = contrasts.seed_weights(len(at), self.replicates.shape[1], self.seed, stream)
        return float(self.point[at].mean()), (weights * self.replicates[at].T).sum(1)

    def difference_of_means(
        self, a: Sequence[int], b: Sequence[int], paired: bool = True
    ) -> tuple[float, float, float]:
        """Mean over models a minus mean over models b. Paired: a[i] and b[i] have the same seed, drawn together."""
        (own, drawn), (other, drawn_other) = self.mean(a), self.mean(b, stream=0 if paired else 1)
        low, high = contrasts.interval(drawn - drawn_other, self.level)
        return own - other, float(low), float(high)


def draw(members: Sequence[Member], replicates: int, seed: int) -> Draws:
    """Raises UserError when the models were not tested on the same images."""
    first = members[0]
    for other in members[1:]:
        if not other.test[["path", "patient"]].equals(first.test[["path", "patient"]]):
            raise UserError(
                f"compare: {first.key} and {other.key} were tested on different images, so they cannot be compared. "
                "Run `dvc repro`; samples may differ in their training images, never in the test split."
            )
    probs = [m.probabilities for m in members]
    point = np.array([float(contrasts.model_auroc(first.truth, prob)[0]) for prob in probs])
    for m, value in zip(members, point, strict=True):
        _agree(m, value)
    drawn = contrasts.aurocs(first.truth, probs, first.test["patient"], replicates, seed)
    return Draws(point, drawn, first.metrics.get("confidence", 0.95), seed)


def _agree(m: Member, value: float) -> None:
    """The area is computed twice, by evaluate and here; one of them is stale or wrong if they differ."""
    stated = (m.metrics["test"].get("auroc") or {}).get("value")
    if stated is not None and np.isfinite(value) and abs(stated - value) > 1e-6:
        raise UserError(
            f"reports/evaluate/{m.key}: metrics.json states an AUROC of {stated:.6f}, but predictions.parquet gives "
            f"{value:.6f}. One of them is stale: make both again with `dvc repro -f evaluate@{m.key}`."
        )


def leaderboard(members: Sequence[Member], draws: Draws, sort_by: str) -> pd.DataFrame:
    """One row per model, best first; equal scores in the order of the matrix. `difference`: its AUROC minus that of
    the first row; `tie`: the interval of that difference holds 0; `confidence`: the coverage of all intervals."""
    table = pd.DataFrame([_row(m) for m in members])
    order = table[sort_by].sort_values(ascending=False, kind="stable", na_position="last").index
    best = order[0]
    differences = [draws.difference(i, best) for i in range(len(members))]
    table[["difference", "difference_low", "difference_high"]] = differences
    table["tie"] = ~((table.difference_low > 0) | (table.difference_high < 0))  # unknown is a tie as well
    table["confidence"] = draws.level
    table = table.loc[order].reset_index(drop=True)
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    return table


def with_missing(board: pd.DataFrame, missing: Sequence[Missing]) -> pd.DataFrame:
    """The leaderboard for a file: `status` is complete, or missing in rows without numbers at the end; `missing_from`
    is the first stage that left nothing."""
    rows = [{**vars(m.key), "key": str(m.key), "status": "missing", "missing_from": m.stage} for m in missing]
    table = board.assign(status="complete", missing_from=None)
    if not rows:
        return table
    nullable = {"i": "Int64", "b": "boolean"}  # integers and flags beside empty cells
    whole = table.astype({name: nullable[kind.kind] for name, kind in table.dtypes.items() if kind.kind in nullable})
    return pd.concat([whole, pd.DataFrame(rows, columns=table.columns).astype(whole.dtypes)], ignore_index=True)


def _row(m: Member) -> dict[str, object]:
    row: dict[str, object] = {
        "key": str(m.key), "backbone": m.key.backbone, "strategy": m.key.strategy, "sample": m.key.sample,
        "train_images": m.summary.get("train_images"), "train_patients": m.summary.get("train_patients"),
    }  # fmt: skip
    for name in METRICS:
        stated = m.metrics["test"].get(name) or {}
        row |= {name: stated.get("value"), f"{name}_low": stated.get("low"), f"{name}_high": stated.get("high")}
    row["val_auroc"] = m.metrics["val"].get("auroc")
    numbers = row | {name: m.summary.get(name) for name in COST}
    return {name: np.nan if value is None else value for name, value in numbers.items()}


def histories(members: Sequence[Member]) -> pd.DataFrame:
    """Every epoch of every model, one long table."""
    return pd.concat([_named(m, m.history) for m in members], ignore_index=True)


def roc(m: Member) -> pd.DataFrame:
    """Columns class, fpr, tpr: one curve per class (two classes: the last one's), corners only."""
    k = len(m.classes)
    curves = []
    for c in [1] if k == 2 else range(k):
        fpr, tpr = roc_curve(m.truth == c, m.probabilities[:, c])
        curves.append(pd.DataFrame({"class": m.classes[c], "fpr": fpr, "tpr": tpr}))
    return pd.concat(curves, ignore_index=True)


def rocs(members: Sequence[Member]) -> pd.DataFrame:
    return pd.concat([_named(m, roc(m)) for m in members], ignore_index=True)


def confusion(m: Member) -> np.ndarray:
    """(K, K) counts, truth × prediction."""
    return confusion_counts(m.truth, m.predicted, len(m.classes), once(len(m.truth)))[0].astype(int)


def _named(m: Member, table: pd.DataFrame) -> pd.DataFrame:
    names = {"model": str(m.key), "backbone": m.key.backbone, "strategy": m.key.strategy, "sample": m.key.sample}
    return table.assign(**names)[[*names, *table.columns]]
