"""Ensembles: the mean of the calibrated probabilities of several models, judged on the same draws as they are.

top    the models that are not shown to be worse on the validation images than the best there; no test image chooses
seeds  the repeats of one training over seeds
folds  the same over folds, each with other validation images

Its operating point is chosen as that of a model, on the mean over the validation images; of folds, on each image's
probability by the member that it validates. An ensemble is compared with the member that is best on its own validation
images. It cannot be chosen, and it is no row of the leaderboard: no folder of models/ holds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ...shared.core.judging import Judging
from ...shared.core.task import CALIBRATED, LOG_PROBABILITY, OF_ANSWERS, PROBABILITY
from ...shared.measures.intervals import draws as cluster_draws
from ...shared.measures.judge import Resampling, estimates
from ...shared.measures.measure import TaskMeasures
from ...shared.measures.statistics import once
from ...shared.measures.truth import NO_TRUTH
from ..read import Member
from .draws import Contrast, Draws

VALIDATION_DRAWS = 1000  # of the choice of the top models


@dataclass(frozen=True)
class Ensemble:
    """`parts`: positions of its members; `best`: of the one that is best on validation. `test`: its predictions.
    `metrics`: {metric: {value, low, high}}; `drawn`: metric -> its values on the draws of the models."""

    name: str
    kind: str
    parts: tuple[int, ...]
    best: int
    test: pd.DataFrame
    metrics: dict[str, Any]
    drawn: dict[str, np.ndarray]


def ensembles(members: Sequence[Member], draws: Draws, metric: str, task: TaskMeasures) -> list[Ensemble]:
    """Of models whose probabilities are calibrated; empty for a task without them. `draws`: of `metric`."""
    models = [i for i, m in enumerate(members) if m.kind == "model" and any(map(is_calibrated, m.test))]
    found = []
    for name, kind, parts in groups(members, models, draws, metric, task):
        if len(parts) > 1:
            best = best_of(members, parts, draws, metric)
            test = predictions([members[i] for i in parts], kind, task)
            how = Resampling(*(members[best].metrics[key] for key in ("bootstrap", "confidence", "seed")))
            metrics, drawn = estimates(
                lambda weights, test=test: task.compute(test, weights),  # type: ignore[misc]
                test["group"].to_numpy(), how, task.rated(test), lambda name: task.metrics[name],
            )  # fmt: skip
            found.append(Ensemble(name, kind, tuple(parts), best, test, metrics, drawn))
    return found


def predictions(members: Sequence[Member], kind: str, task: TaskMeasures) -> pd.DataFrame:
    """Of the test images, at a point that the validation images chose."""
    apart = [validation(m) for m in members]
    own = pd.concat([pooled([part]) for part in apart]) if kind == "folds" else pooled(apart)
    both = pd.concat([own, pooled([m.test for m in members])], ignore_index=True)
    settings = members[0].metrics["settings"]
    options = Judging.model_validate({name: settings[name] for name in Judging.model_fields})
    decided = task.scored(both, None, NO_TRUTH, options)
    return decided[decided["split"] == "test"].reset_index(drop=True)


def is_calibrated(column: object) -> bool:
    return str(column).startswith(CALIBRATED)


def pooled(tests: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The mean of the calibrated probabilities of the same images in the same order, as a table of predictions."""
    first = tests[0]
    names = [str(column).removeprefix(CALIBRATED) for column in first if is_calibrated(column)]
    mean = np.mean([test[[CALIBRATED + name for name in names]].to_numpy(float) for test in tests], axis=0)
    logs = np.log(np.maximum(mean, np.finfo(float).tiny)).astype(np.float32)
    columns: dict[str, Any] = {"predicted": pd.Categorical.from_codes(mean.argmax(axis=1), categories=names)}
    for prefix, values in ((PROBABILITY, mean), (LOG_PROBABILITY, logs), (CALIBRATED, mean)):
        columns |= {prefix + name: values[:, k] for k, name in enumerate(names)}
    return first[[name for name in first if not str(name).startswith(OF_ANSWERS)]].assign(**columns)


def groups(
    members: Sequence[Member], models: Sequence[int], draws: Draws, metric: str, task: TaskMeasures
) -> Iterator[tuple[str, str, list[int]]]:
    """(name, kind, positions)."""
    if len(models) > 1:
        yield "top", "top", top(members, models, draws, metric, task)
    for kind, other in (("seeds", "seed"), ("folds", "fold")):
        alike: dict[tuple[object, ...], list[int]] = {}
        for i in models:
            key, sample = members[i].key, members[i].summary.get("sample") or {}
            same = tuple(f"{name}={value}" for name, value in sorted(sample.items()) if name != other)
            alike.setdefault((key.backbone, key.strategy, *same), []).append(i)
        for parts in alike.values():
            first = members[parts[0]].key
            distinct = {members[i].summary["sample"][other]: i for i in reversed(parts)} if len(parts) > 1 else {}
            yield f"{first.backbone}-{first.strategy}-{first.sample}-{kind}", kind, sorted(distinct.values())


def best_of(members: Sequence[Member], parts: Sequence[int], draws: Draws, metric: str) -> int:
    """On validation; the first of the matrix without a value."""
    sign = 1 if draws.measure.higher_is_better else -1
    values = np.nan_to_num([sign * members[i].value("val", metric) for i in parts], nan=-np.inf)
    return parts[int(np.argmax(values))]


def top(members: Sequence[Member], models: Sequence[int], draws: Draws, metric: str, task: TaskMeasures) -> list[int]:
    """Models not shown to be worse on validation than the best there, of those with the same validation images."""
    best = best_of(members, models, draws, metric)
    tables = {i: validation(members[i]) for i in models}
    same = [i for i in models if tables[i]["path"].equals(tables[best]["path"])]
    clusters = tables[best]["group"].to_numpy()
    chunks = list(cluster_draws(clusters, VALIDATION_DRAWS, members[best].metrics["seed"]))
    drawn = [np.concatenate([task.compute(tables[i], chunk)[metric] for chunk in chunks]) for i in same]
    point = np.array([task.compute(tables[i], once(len(clusters)))[metric][0] for i in same])
    own = Draws(point, np.array(drawn), len(np.unique(clusters)), draws.level, draws.measure)
    differences = own.differences_to(same.index(best))
    return [i for i, (_, low, high) in zip(same, differences, strict=True) if own.verdict(low, high) != "worse"]


def validation(m: Member) -> pd.DataFrame:
    return m.validation.sort_values("path", ignore_index=True)


def table(found: Sequence[Ensemble], members: Sequence[Member], draws: Draws, metric: str) -> pd.DataFrame:
    """One row per ensemble: `name`, `kind`, `models` (how many), `members`, `value` with low and high, `best_member`
    (on validation) and its `best_value`, the `difference` of the two with `low` and `high`, simultaneous over the
    ensembles, and `verdict`."""
    if not found:
        return pd.DataFrame(columns=["name"])
    both = replace(
        draws,
        point=np.r_[draws.point, np.array([e.metrics[metric]["value"] for e in found], float)],  # None: NaN
        replicates=np.vstack([draws.replicates, *(e.drawn[metric] for e in found)]),
    )
    count = len(draws.point)
    intervals = both.differences([Contrast([count + i], [e.best]) for i, e in enumerate(found)])
    return pd.DataFrame(
        [
            {
                "name": e.name, "kind": e.kind, "models": len(e.parts),
                "members": " ".join(str(members[i].key) for i in e.parts),
                "value": e.metrics[metric]["value"], "value_low": e.metrics[metric]["low"],
                "value_high": e.metrics[metric]["high"], "best_member": str(members[e.best].key),
                "best_value": draws.point[e.best], "difference": difference, "low": low, "high": high,
                "verdict": draws.verdict(low, high),
            }
            for e, (difference, low, high) in zip(found, intervals, strict=True)
        ]
    )  # fmt: skip
