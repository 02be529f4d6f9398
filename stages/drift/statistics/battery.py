"""All tests together. Each asks whether two samples differ; with eight of them at 5%, one in three samples would raise
an alarm by chance, so p values are adjusted (Holm 1979)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ...shared.measures.intervals import holm
from . import classifier, facts, kernel, permutation, prevalence
from .sample import Pair, Sample, pair

POWER = 0.8416  # quantile of the normal distribution: found in 80% of samples
Kind = Literal["classifier", "kernel", "answers", "fact"]


@dataclass(frozen=True)
class Options:
    """alpha: probability of an alarm where nothing has changed. permutations, draws: how many. level: of intervals."""

    alpha: float
    permutations: int
    draws: int
    level: float
    seed: int


@dataclass(frozen=True)
class Test:
    """kind: classifier (`effect` is an area under the ROC curve), kernel (a squared discrepancy), answers (mean
    probability that moved from some classes to others), fact (a shift of the mean in standard deviations of the
    reference). p: of this test alone; adjusted: of all together. smallest: the least effect that would be found in
    80% of samples of this size, were this the only change. low, high: of the classifier's effect."""

    name: str
    kind: Kind
    effect: float
    p: float
    smallest: float
    adjusted: float = 1.0
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Of two samples. patients, images: (of the reference, new). unlikeness: of the new images, 0…1, the classifier's
    rank of each."""

    tests: tuple[Test, ...]
    patients: tuple[int, int]
    images: tuple[int, int]
    unlikeness: np.ndarray

    def test(self, name: str) -> Test | None:
        return next((test for test in self.tests if test.name == name), None)

    def found(self, alpha: float) -> list[Test]:
        """Those that show a difference."""
        return [test for test in self.tests if test.adjusted <= alpha]


def compare(reference: Sample, new: Sample, options: Options) -> Comparison:
    """Facts that are not known of every image of both samples, or that never vary, are left out."""
    both = pair(reference, new)
    rows = permutation.assignments(both.new, options.permutations, options.seed)
    weights = permutation.signed(both, rows)
    folds = list(classifier.folds(both, rows, options.seed))
    names = common_facts(reference, new)
    limit = options.alpha / (3 + len(names))  # what the least p value of them all has to be below
    counts = int(both.new.sum()), int((~both.new).sum())
    tests = [by_classifier(both, rows, folds, limit, options), by_kernel(both, weights, limit)]
    probabilities = np.concatenate([reference.probabilities, new.probabilities])
    tests.append(by_answers(probabilities, weights, limit))
    is_new = both.new[both.of_image]
    for name in names:
        values = np.concatenate([reference.facts[name], new.facts[name]])
        distances = facts.distances(values, weights)
        least = facts.smallest(permutation.critical(distances, limit), *counts, POWER)
        effect = facts.difference(values, is_new, both.weight)
        tests.append(Test(name, "fact", effect, permutation.p_value(distances), least))
    adjusted = holm(np.array([test.p for test in tests]))
    tests = [replace(test, adjusted=float(p)) for test, p in zip(tests, adjusted, strict=True)]
    unlike = classifier.unlikeness(folds, len(both.of_image))[is_new]
    return Comparison(tuple(tests), counts[::-1], (len(reference), len(new)), unlike)


def common_facts(reference: Sample, new: Sample) -> list[str]:
    names = [name for name in reference.facts if name in new.facts]
    values = {name: np.concatenate([reference.facts[name], new.facts[name]]) for name in names}
    return [name for name in names if np.isfinite(values[name]).all() and np.ptp(values[name]) > 0]


def by_classifier(
    both: Pair, rows: np.ndarray, folds: Sequence[classifier.Fold], limit: float, options: Options
) -> Test:
    areas = classifier.permuted_areas(both, rows, folds)
    low, high = classifier.interval(both, folds, float(areas[0]), options.draws, options.level, options.seed)
    new, old = int(both.new.sum()), int((~both.new).sum())
    least = classifier.smallest(permutation.critical(areas, limit), new, old, POWER)
    return Test("classifier", "classifier", float(areas[0]), permutation.p_value(areas), least, low=low, high=high)


def by_kernel(both: Pair, weights: np.ndarray, limit: float) -> Test:
    values = kernel.discrepancies(both, weights)
    return Test("mmd", "kernel", float(values[0]), permutation.p_value(values), reach(values, limit))


def by_answers(probabilities: np.ndarray, weights: np.ndarray, limit: float) -> Test:
    values = prevalence.shifts(probabilities, weights)
    return Test("answers", "answers", float(values[0]), permutation.p_value(values), reach(values, limit))


def reach(values: np.ndarray, limit: float) -> float:
    """What has to be there to be found in 80% of samples, where chance adds as much as it does in permutations."""
    return permutation.critical(values, limit) + POWER * float(values[1:].std())
