"""How much the probabilities of an image differ between seeds, and whether that finds the errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...shared.measures.intervals import area_spread
from ...shared.measures.judge import Resampling, estimates
from ...shared.measures.measure import Measure
from ...shared.measures.statistics import auroc
from ..read import Member

AREA = Measure("", "", spread=area_spread)


def over_seeds(means: pd.DataFrame, members: Mapping[str, Member]) -> list[dict[str, Any]]:
    """For each row of `means` with several seeds: `sd`, of the probability of the class that their mean finds most
    probable, averaged over the test images; `errors`, the share of images where that class is wrong; `finds_errors` and
    `confidence`: AUROC of the sd, and of the mean probability itself, between errors and the rest."""
    return [row(cell, members) for cell in means[means["seeds"] > 1].to_dict("records")]


def row(cell: Mapping[str, Any], members: Mapping[str, Member]) -> dict[str, Any]:
    trained = [members[f"{cell['backbone']}-{cell['strategy']}-{name}"] for name in cell["samples"].split()]
    first = trained[0]
    each = np.stack([m.answers.probabilities for m in trained])  # seeds × N × K
    mean = each.mean(axis=0)
    rows, predicted = np.arange(len(mean)), mean.argmax(axis=1)
    sd, sure, wrong = each.std(axis=0, ddof=1)[rows, predicted], mean.max(axis=1), predicted != first.answers.truth
    how = Resampling(first.metrics["bootstrap"], first.metrics["confidence"], first.metrics["seed"])
    estimated, _ = estimates(
        lambda weights: {"finds_errors": auroc(wrong, sd, weights), "confidence": auroc(wrong, -sure, weights)},
        first.test["group"].to_numpy(), how, {name: [wrong, ~wrong] for name in ("finds_errors", "confidence")},
        lambda name: AREA,
    )  # fmt: skip
    names = {name: cell[name] for name in ("backbone", "strategy", "sample", "seeds")}
    return {**names, "sd": float(sd.mean()), "errors": float(wrong.mean()), **estimated}
