"""What does a model reach if it leaves the least certain images to a human?"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...shared.measures.classification import Answers
from ...shared.measures.intervals import area_spread
from ...shared.measures.judge import estimates
from ...shared.measures.measure import Measure
from ...shared.measures.selective import area, at_least
from ...shared.measures.statistics import auroc
from .evidence import Evidence
from .rates import Numbers, Rate, Rates

SHARES = np.arange(5, 101, 5) / 100  # of the images that are kept
RATE, MEAN, AREA = Measure("", ""), Measure("", "", rate=False), Measure("", "", spread=area_spread)


def section(evidence: Evidence) -> dict[str, Any]:
    """Confidence is that of the predicted class, at the model's threshold (Answers). `limit`: where the stated share of
    the validation images is less certain; `left`: the share of the test images that is. `all`, `kept`: accuracy,
    sensitivity, specificity; `errors_left`: share of the errors that a human gets to see. `curve`: the error rate among
    the most certain images, by share. `aurc`: its area. `finds_errors`: AUROC of the confidence between errors and the
    rest."""
    answers, share = Answers(evidence.test), evidence.params.abstain
    confidence, wrong = answers.confidence, ~answers.right
    limit = at_least(Answers(evidence.validation).confidence, 1 - share)
    everything, kept = np.ones(len(wrong), bool), confidence >= limit
    cuts = [confidence >= at_least(confidence, each) for each in SHARES]
    rates = Rates(
        {
            **{("curve", i): [(wrong, cut)] for i, cut in enumerate(cuts)},
            ("left",): [(~kept, everything)], ("errors_left",): [(~kept, wrong)],
            **scores("all", answers, everything), **scores("kept", answers, kept),
        }
    )  # fmt: skip

    def compute(weights: np.ndarray) -> Numbers:
        weights = weights.astype(np.float64)
        ranked = {("aurc",): area(wrong, confidence, weights), ("finds_errors",): auroc(wrong, -confidence, weights)}
        return rates.of_draws(weights) | ranked

    rated = {**rates.rated, ("aurc",): [everything], ("finds_errors",): [wrong, ~wrong]}
    kinds = {"aurc": MEAN, "finds_errors": AREA}
    estimated, _ = estimates(
        compute, evidence.test["group"].to_numpy(), evidence.how, rated, lambda name: kinds.get(name[0], RATE)
    )
    return {
        "share": share, "limit": limit, "images": len(evidence.validation),
        **{name: estimated[name,] for name in ("left", "errors_left", "aurc", "finds_errors")},
        **{
            name: {metric: estimated[name, metric] for metric in ("accuracy", "sensitivity", "specificity")}
            for name in ("all", "kept")
        },
        "curve": [
            {"share": each, "images": int(cut.sum()), "error": estimated["curve", i]}
            for i, (each, cut) in enumerate(zip(SHARES.tolist(), cuts, strict=True))
        ],
    }  # fmt: skip


def scores(name: str, answers: Answers, rows: np.ndarray) -> dict[tuple[Any, ...], list[Rate]]:
    """Accuracy, sensitivity and specificity of these images, N booleans; of several classes the mean over each against
    the rest."""
    of = {k: (answers.truth == k, answers.predicted == k) for k in answers.positives}
    return {
        (name, "accuracy"): [(answers.predicted == answers.truth, rows)],
        (name, "sensitivity"): [(called, rows & truth) for truth, called in of.values()],
        (name, "specificity"): [(~called, rows & ~truth) for truth, called in of.values()],
    }
