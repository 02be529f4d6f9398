"""Scores of groups of the test images, and the gaps between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from ...shared.measures import MEASURES, anomaly, classification, segmentation
from ...shared.measures.gaps import Gap, Score, gaps
from ...shared.measures.groupings import Grouping, groupings
from ...shared.measures.intervals import support
from ...shared.measures.judge import Resampling, estimates, number
from ...shared.measures.measure import TaskMeasures
from ...shared.measures.statistics import auroc, ratio
from .evidence import Evidence

Name = tuple[str, str, str]
"""Column, group, metric."""
Compute = Callable[[pd.DataFrame, np.ndarray], dict[str, np.ndarray]]
"""(rows, weights R×n) -> R values of each metric that groups are compared by."""


def of_classes(table: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
    answers = classification.Answers(table)
    rates = classification.class_rates(answers.counts(weights))
    areas = [auroc(*own, weights) for own in answers.ranked.values()]
    return {
        "auroc": np.mean(areas, axis=0),
        **{name: rates[name][:, answers.positives].mean(axis=1) for name in ("sensitivity", "specificity")},
    }


def of_masks(table: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
    scores, there = segmentation.defined(segmentation.Answers(table).score("dice"))
    drawn = weights.astype(np.float64)
    return {"dice": segmentation.mean_over_structures(ratio(drawn @ scores, drawn @ there))}


def of_alarms(table: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
    answers = anomaly.Answers(table)
    right = answers.alarm == answers.anomalous
    return {
        "auroc": auroc(answers.anomalous, answers.score, weights),
        "sensitivity": ratio(weights @ (right & answers.anomalous), weights @ answers.anomalous),
        "specificity": ratio(weights @ (right & ~answers.anomalous), weights @ ~answers.anomalous),
    }


COMPUTE: Mapping[str, Compute] = {"classification": of_classes, "segmentation": of_masks, "anomaly": of_alarms}


def section(evidence: Evidence) -> dict[str, Any]:
    """{"columns": {column: {title, groups, gaps}}, "left_out": {title: reason}, "comparisons", "shown"}.

    groups: {name, images, patients, labels: {class: images}, metrics: {metric: {value, low, high}}}; no metrics where
    there are fewer than `min_patients` patients. gaps: {metric: {a, b, value, low, high, shown}} of the two groups that
    differ most surely; value: a minus b. `comparisons`: all pairs of groups by all metrics, and the intervals of the
    gaps hold for all of them at once. `shown`: how many of these exclude zero.
    """
    settings, task = evidence.params.subgroups, MEASURES[evidence.recipe.task]
    return compared(
        evidence.test, task, COMPUTE[evidence.recipe.task], evidence.how, settings.min_patients, settings.bins
    )


def compared(
    test: pd.DataFrame, task: TaskMeasures, compute: Compute, how: Resampling, min_patients: int,
    bins: Mapping[str, Sequence[float]],
) -> dict[str, Any]:  # fmt: skip
    test = test.reset_index(drop=True)
    groups = groupings(test, bins)
    large = {column.name: large_enough(test, column, min_patients) for column in groups.columns}
    scores = scores_of(test, groups.columns, large, task, compute, how)
    pairs = {
        (column.name, metric, a, b): (scores[column.name, a, metric], scores[column.name, b, metric])
        for column in groups.columns
        for a, b in combinations(large[column.name], 2)
        for metric in metrics_of(scores)
        if np.isfinite(scores[column.name, a, metric].value - scores[column.name, b, metric].value)
    }
    found = gaps(pairs, how.confidence)
    return {
        "columns": {
            column.name: {
                "title": column.title,
                "groups": [
                    {**counted(test[column.of == name]), "name": name, "metrics": shown(scores, column.name, name, how)}
                    for name in column.order
                ],
                "gaps": surest({key[1:]: gap for key, gap in found.items() if key[0] == column.name}),
            }
            for column in groups.columns
        },
        "left_out": groups.left_out,
        "min_patients": min_patients,
        "comparisons": len(found),
        "shown": sum(gap.shown for gap in found.values()),
    }


def large_enough(test: pd.DataFrame, column: Grouping, min_patients: int) -> list[str]:
    return [name for name in column.order if test["patient"][column.of == name].nunique() >= min_patients]


def scores_of(
    test: pd.DataFrame, columns: Sequence[Grouping], large: Mapping[str, Sequence[str]], task: TaskMeasures,
    compute: Compute, how: Resampling,
) -> dict[Name, Score]:  # fmt: skip
    """Of every group that is large enough, on the same draws as the metrics of all test images."""
    rows = {(column.name, name): column.of == name for column in columns for name in large[column.name]}
    clusters, rated = test["group"].to_numpy(), task.rated(test)

    def values(weights: np.ndarray) -> dict[Name, np.ndarray]:
        return {
            (*group, metric): own
            for group, images in rows.items()
            for metric, own in compute(test[images], weights[:, images]).items()
        }

    if not rows:
        return {}
    estimated, drawn = estimates(values, clusters, how)
    scores = {}
    for name, estimate in estimated.items():
        images, value = rows[name[:2]], estimate["value"]
        measure, parts = task.metrics[name[2]], [part & images for part in rated.get(name[2], [])]
        rests_on = support(parts, clusters) if parts else None
        if rests_on and not measure.rate:
            rests_on = replace(rests_on, images=np.inf)
        scores[name] = Score(np.nan if value is None else value, drawn[name], measure, rests_on)
    return scores


def metrics_of(scores: Mapping[Name, Score]) -> list[str]:
    return list(dict.fromkeys(name[2] for name in scores))


def shown(scores: Mapping[Name, Score], column: str, group: str, how: Resampling) -> dict[str, dict[str, float | None]]:
    """{metric: {value, low, high}}; empty where the group is too small."""
    return {
        metric: estimate(score.value, *score.interval(how.confidence))
        for (of, name, metric), score in scores.items()
        if (of, name) == (column, group)
    }


def estimate(value: float, low: float, high: float) -> dict[str, float | None]:
    return {"value": number(value), "low": number(low), "high": number(high)}


def counted(rows: pd.DataFrame) -> dict[str, Any]:
    labels = rows["label"].astype(str).value_counts(sort=False)
    return {
        "images": len(rows),
        "patients": int(rows["patient"].nunique()),
        "labels": {str(name): int(n) for name, n in sorted(labels.items())},
    }


def surest(found: Mapping[tuple[str, str, str], Gap]) -> dict[str, dict[str, Any]]:
    """By metric: of the two groups whose interval is farthest from zero, or nearest to excluding it."""
    best: dict[str, tuple[str, str, Gap]] = {}
    for (metric, a, b), own in found.items():
        if np.isfinite(own.sureness) and (metric not in best or own.sureness > best[metric][2].sureness):
            best[metric] = a, b, own
    return {
        metric: {"a": a, "b": b, **estimate(own.value, own.low, own.high), "shown": own.shown}
        for metric, (a, b, own) in best.items()
    }
