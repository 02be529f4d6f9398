"""Does an uncertainty from several predictions find the errors better than the plain probability?

Shapes: N images, T passes, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import entropy

from ...shared.measures.classification import Answers
from ...shared.measures.intervals import area_spread
from ...shared.measures.judge import estimates
from ...shared.measures.measure import Measure
from ...shared.measures.reliability import brier
from ...shared.measures.statistics import auroc
from .evidence import Evidence
from .passes import augmented, dropouts, with_dropout
from .rates import Numbers

KINDS = ("mc_dropout", "tta")
MEASURES = ("entropy", "mutual_information", "sd")
AREA, ANY = Measure("", "", spread=area_spread), Measure("", "", spread=None)


def asked(evidence: Evidence) -> dict[str, int]:
    """Passes of each kind that params.yaml asks for."""
    settings = evidence.params.uncertainty.model_dump()
    return {kind: settings[kind] for kind in KINDS if settings[kind]}


def reason(evidence: Evidence, kind: str) -> str | None:
    """Why a model cannot do this."""
    if kind == "mc_dropout":
        return None if dropouts(evidence.model) else "the model has no dropout"
    return None if evidence.recipe.params.get("augment") else "its training augmented nothing"


def columns(evidence: Evidence) -> pd.DataFrame:
    """Of each kind: <kind>_entropy (of the mean), <kind>_mutual_information, <kind>_sd, and <kind>_mean_<class>. No
    columns where nothing is asked for, or where the model cannot."""
    table, names = pd.DataFrame(index=evidence.table.index), Answers(evidence.table).classes
    for kind, passes in asked(evidence).items():
        if reason(evidence, kind) is None:
            each = predicted(evidence, kind, passes)
            own = spread(each)
            table = table.assign(**{f"{kind}_{name}": own[name] for name in MEASURES})
            mean = each.mean(axis=0)
            table = table.assign(**{f"{kind}_mean_{name}": mean[:, k] for k, name in enumerate(names)})
    return table


def predicted(evidence: Evidence, kind: str, passes: int) -> np.ndarray:
    """T×N×K probabilities."""
    images, seed = evidence.arrays.images, evidence.params.seed
    if kind == "mc_dropout":
        return with_dropout(evidence.model, images, evidence.rows, passes, seed)
    return augmented(evidence.model, images, evidence.rows, evidence.recipe.params["augment"], passes, seed)


def spread(each: np.ndarray) -> dict[str, np.ndarray]:
    """N values of each of MEASURES, from T×N×K probabilities. Mutual information: the entropy of the mean minus the
    mean entropy, what passes disagree about (Gal et al. 2017); in nats. sd: of the probability of the class that their
    mean finds most probable."""
    mean = each.mean(axis=0)
    total, within = entropy(mean, axis=1), entropy(each, axis=2).mean(axis=0)
    own = np.take_along_axis(each, mean.argmax(axis=1)[None, :, None], axis=2)[..., 0]
    return {"entropy": total, "mutual_information": np.maximum(total - within, 0), "sd": own.std(axis=0)}


def section(evidence: Evidence) -> dict[str, Any]:
    """`confidence`: AUROC of the plain confidence (Answers) between errors and the rest. Of each kind that was asked
    for: passes; `reason`, why it is not possible; else `finds_errors`: the same AUROC of each of MEASURES, `gain`:
    minus that of the plain confidence; `brier` of the mean, and `brier_change` from the plain one."""
    answers, test = Answers(evidence.test), evidence.test
    wrong, sure = ~answers.right, answers.confidence
    possible = [kind for kind in asked(evidence) if reason(evidence, kind) is None]
    plain, means = brier(answers.probabilities, answers.truth), {}
    for kind in possible:
        own = test[[f"{kind}_mean_{name}" for name in answers.classes]].to_numpy(np.float64)
        means[kind] = brier(own, answers.truth)

    def compute(weights: np.ndarray) -> Numbers:
        weights, total = weights.astype(np.float64), weights.sum(axis=1)
        values: Numbers = {("confidence",): auroc(wrong, -sure, weights)}
        for kind in possible:
            for name in MEASURES:
                own = auroc(wrong, test[f"{kind}_{name}"].to_numpy(), weights)
                values |= {(kind, "finds_errors", name): own, (kind, "gain", name): own - values["confidence",]}
            values[kind, "brier"] = weights @ means[kind] / total
            values[kind, "brier_change"] = weights @ (means[kind] - plain) / total
        return values

    def measure_of(name: tuple[Any, ...]) -> Measure:
        return AREA if name == ("confidence",) or "finds_errors" in name else ANY

    areas = [("confidence",), *((kind, "finds_errors", name) for kind in possible for name in MEASURES)]
    estimated, _ = estimates(
        compute, test["group"].to_numpy(), evidence.how, {name: [wrong, ~wrong] for name in areas}, measure_of
    )
    return {
        "confidence": estimated["confidence",],
        **{kind: described(evidence, kind, passes, estimated) for kind, passes in asked(evidence).items()},
    }


def described(evidence: Evidence, kind: str, passes: int, estimated: Mapping[Any, Any]) -> dict[str, Any]:
    why = reason(evidence, kind)
    if why is not None:
        return {"passes": passes, "reason": why}
    groups = {each: {name: estimated[kind, each, name] for name in MEASURES} for each in ("finds_errors", "gain")}
    single = {name: estimated[kind, name] for name in ("brier", "brier_change")}
    return {"passes": passes, "reason": None, **groups, **single}
