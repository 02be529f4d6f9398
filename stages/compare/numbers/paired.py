"""Paired tests beside the bootstrap: DeLong's of two areas under the ROC curve, McNemar's of two accuracies.

Each model is compared with the first row of the leaderboard, and each strategy with the baseline on the same backbone
and sample. All tests are of these trained models on the same test images, by cluster. The p values of one family are
adjusted together (Holm 1979): against the first row, which was picked by its value, these are all pairs of the
leaderboard; against the baseline, the strategies of one backbone and sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from ...shared.measures.intervals import holm
from ...shared.measures.measure import TaskMeasures
from ..read import Member
from .delong import Areas, areas
from .draws import Contrast, Draws, Interval, draws_of
from .mcnemar import Discordance, discordance

FIRST, BASELINE = "first row", "baseline"  # what a model is compared with
COLUMNS = [
    "against", "key", "other", "difference", "low", "high", "verdict", "delong_low", "delong_high", "delong_p",
    "delong_holm", "delong_verdict", "only_this_right", "only_other_right", "mcnemar_p", "mcnemar_holm",
    "mcnemar_verdict", "accuracy_difference", "accuracy_low", "accuracy_high", "accuracy_verdict",
]  # fmt: skip
Pair = tuple[int, int]


@dataclass(frozen=True)
class Evidence:
    """All that two models are compared by. `auroc`, `accuracy`: draws of these metrics; None where the task has no
    accuracy. `right`: M×N booleans. `clusters`: of the N test images, numbers from 0."""

    auroc: Draws
    accuracy: Draws | None
    areas: Areas
    right: np.ndarray
    clusters: np.ndarray

    @property
    def alpha(self) -> float:
        return 1 - self.auroc.level

    @cached_property
    def pairs(self) -> list[Pair]:
        return list(combinations(range(len(self.right)), 2))

    def delong(self, pair: Pair) -> tuple[float, float, float]:
        """Low and high of the difference of the areas, and its p value; NaN where the areas show no variance."""
        difference, error = self.areas.difference(*pair)
        if not error > 0:
            return difference, difference, 1.0 if difference == 0 else np.nan
        half = float(ndtri(1 - self.alpha / 2)) * error
        return difference - half, difference + half, float(2 * ndtr(-abs(difference) / error))

    def verdict(self, difference: float, p: float) -> str:
        """As that of the draws, from an adjusted p value."""
        sign = (1 if difference > 0 else -1) if p < self.alpha else 0
        return self.auroc.verdict(sign, sign)

    def mcnemar(self, pair: Pair) -> Discordance:
        return discordance(self.right[pair[0]], self.right[pair[1]], self.clusters)


def paired(
    members: Sequence[Member], draws: Draws, metric: str, first: int, baseline: str, task: TaskMeasures
) -> pd.DataFrame:
    """One row per comparison, of COLUMNS; empty for a task without an AUROC. `first`: position of the first row.

    `difference`, `low`, `high`: of the AUROC, with the bootstrap's simultaneous interval. `delong_low`, `delong_high`:
    of this difference alone. `…_holm`: the p value adjusted for its family, which decides the verdict. `draws`: of
    `metric`, the one that decides.
    """
    if "auroc" not in task.metrics:
        return pd.DataFrame(columns=COLUMNS)
    evidence = gathered(members, draws, metric, task)
    of_first = [(i, first) for i in range(len(members)) if i != first]
    rows = compared(evidence, of_first, evidence.pairs, FIRST)
    for family in families(members, baseline):
        rows += compared(evidence, family, family, BASELINE)
    names = [str(m.key) for m in members]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.assign(key=[names[i] for i in table["key"]], other=[names[i] for i in table["other"]])


def gathered(members: Sequence[Member], draws: Draws, metric: str, task: TaskMeasures) -> Evidence:
    def of(name: str) -> Draws:
        return draws if name == metric else draws_of(members, name, task)

    ranked = [m.answers.ranked for m in members]
    rankings = [(ranked[0][name][0], np.array([own[name][1] for own in ranked])) for name in ranked[0]]
    clusters = np.unique(members[0].test["group"], return_inverse=True)[1]
    accuracy = of("accuracy") if "accuracy" in task.metrics else None
    right = np.array([m.answers.right for m in members])
    return Evidence(of("auroc"), accuracy, areas(rankings, clusters), right, clusters)


def families(members: Sequence[Member], baseline: str) -> list[list[Pair]]:
    """Models against the baseline model of the same backbone and sample."""
    base = {(m.key.backbone, m.key.sample): i for i, m in enumerate(members) if m.key.strategy == baseline}
    pairs: dict[tuple[str, str], list[Pair]] = {}
    for i, m in enumerate(members):
        cell = m.key.backbone, m.key.sample
        if m.kind == "model" and m.key.strategy != baseline and cell in base:
            pairs.setdefault(cell, []).append((i, base[cell]))
    return list(pairs.values())


def compared(
    evidence: Evidence, shown: Sequence[Pair], family: Sequence[Pair], against: str
) -> list[dict[str, object]]:
    """One row per pair of `shown`; each is among `family`, in this order or turned round."""
    tests = {pair: (evidence.delong(pair), evidence.mcnemar(pair)) for pair in {*family, *shown}}
    delong_holm = adjusted({pair: tests[pair][0][2] for pair in family})
    mcnemar_holm = adjusted({pair: tests[pair][1].p_value for pair in family})
    rows = []
    for pair, own, accuracy in zip(
        shown, intervals(evidence.auroc, shown, against), intervals(evidence.accuracy, shown, against), strict=True
    ):
        (low, high, p), counts, unordered = *tests[pair], frozenset(pair)
        more = counts.first - counts.second
        values = [
            against, *pair, *own, evidence.auroc.verdict(*own[1:]), low, high, p, delong_holm[unordered],
            evidence.verdict(own[0], delong_holm[unordered]), counts.first, counts.second, counts.p_value,
            mcnemar_holm[unordered], evidence.verdict(more, mcnemar_holm[unordered]), *accuracy,
            evidence.accuracy.verdict(*accuracy[1:]) if evidence.accuracy else "",
        ]  # fmt: skip
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def intervals(draws: Draws | None, shown: Sequence[Pair], against: str) -> list[Interval]:
    """Simultaneous: over all pairs of the leaderboard, or over `shown`. NaN without draws."""
    if draws is None or not shown:
        return [(np.nan,) * 3] * len(shown)
    if against == FIRST:
        differences = draws.differences_to(shown[0][1])
        return [differences[i] for i, _ in shown]
    return draws.differences([Contrast([a], [b]) for a, b in shown])


def adjusted(p: Mapping[Pair, float]) -> dict[frozenset[int], float]:
    """By the two models, whichever comes first."""
    return dict(zip(map(frozenset, p), holm(np.array([*p.values()])).tolist(), strict=True))


def agreement(table: pd.DataFrame) -> Mapping[str, tuple[int, int]]:
    """Of each test: (comparisons in which it and the bootstrap have the same verdict, comparisons)."""
    pairs = {"DeLong": ("delong_verdict", "verdict"), "McNemar": ("mcnemar_verdict", "accuracy_verdict")}
    counts = {}
    for name, (test, bootstrap) in pairs.items():
        both = table[(table[test] != "") & (table[bootstrap] != "")]
        counts[name] = int((both[test] == both[bootstrap]).sum()), len(both)
    return counts
