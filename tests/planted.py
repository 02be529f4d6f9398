"""Cells of a comparison with known scores."""

from __future__ import annotations

import numpy as np
import pandas as pd

from stages.compare.numbers.cells import Cells
from stages.compare.numbers.draws import Draws
from stages.shared.measures.measure import Measure

SCORE = Measure("score", "score")


def planted(scores, names, rng=None, patients=0.01, seeds=3, spread=0.0, costs=None, measure=SCORE):
    """A cell per score, (strategy, images) in `names`: the luck of the test patients is part shared, part its own."""
    rng = rng or np.random.default_rng(0)
    shared, luck = rng.normal(size=400), rng.normal()
    rows, points, drawn = [], [], []
    for score, (strategy, images) in zip(scores, names, strict=True):
        own, noise = rng.normal(), rng.normal(size=400)
        for seed in range(seeds):
            value = score + patients * 0.7 * (luck + own) + spread * rng.normal()
            points.append(value)
            drawn.append(value + patients * 0.7 * (shared + noise))
            rows.append({"backbone": "b", "strategy": strategy, "sample": f"{images}", "seed": seed, "site": "",
                         "train_images": images, "at": len(rows)})  # fmt: skip
    trainings, draws = pd.DataFrame(rows), Draws(np.array(points), np.array(drawn), 200, 0.95, measure)
    table = trainings.groupby(["backbone", "strategy", "sample"], sort=False, as_index=False).agg(
        train_images=("train_images", "first"), site=("site", "first"), seeds=("seed", "size"), at=("at", list)
    )
    table["value"] = [draws.point[at].mean() for at in table["at"]]
    table["value_low"], table["value_high"] = table["value"] - 0.02, table["value"] + 0.02
    table = table.assign(**(costs or {})).drop(columns="at")
    order = table["value"].sort_values(ascending=not measure.higher_is_better).index
    return Cells(trainings, draws, table.loc[order].reset_index(drop=True))
