"""What to use for each size of training set, as far as the numbers go, and what would change the answer.

Validation chooses: the test images have no part in it, so the test score of the choice is not flattered. The test
images then say which others are not shown to be worse, and whether any of them is shown to be better than the floor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ...shared.measures.intervals import bootstrap_variance, cochran
from ..read import Floor
from .cells import Cells
from .draws import Contrast

CHEAPER = 1.1  # times the training time that a cheaper cell saves at least
ALIKE = 1.1  # times the images: closer sizes are one, as folds are
MOST_PATIENTS = 100  # times the test patients that a study has
MOST_SEEDS = 100


@dataclass(frozen=True)
class Choice:
    """Cells of one size of training set, by their place in the table of cells. `chosen`: the best on validation.
    `others`: index cell, the best on validation first; `difference` of it minus the chosen one, `low`, `high`,
    `verdict`. `above`: index cell, the same of every cell against the floor; empty without one."""

    sample: str
    images: float
    chosen: int
    others: pd.DataFrame
    above: pd.DataFrame

    @property
    def tied(self) -> list[int]:
        """The chosen one and those not shown to be worse, as far as they are shown to be better than the floor; the
        best on validation first. Empty: no network is justified."""
        cells = [self.chosen, *self.others.index[self.others["verdict"] != "worse"]]
        return [cell for cell in cells if self.is_above(cell)]

    def is_above(self, cell: int) -> bool:
        """Shown to be better than the floor; true where there is none."""
        return self.above.empty or bool(self.above.loc[cell, "verdict"] == "better")


@dataclass(frozen=True)
class More:
    """What would show a difference, if it stays as it is: test patients with the seeds that there are, and seeds with
    the test patients that there are. None: no number that a study could have."""

    patients: float | None
    seeds: int | None


def choices(cells: Cells, floor: Floor | None, metric: str) -> list[Choice]:
    """The largest size first. Sizes where no cell has a validation value are left out."""
    made: list[Choice] = []
    sizes = cells.table.sort_values("train_images", ascending=False, kind="stable")
    for (sample, site), rows in sizes.groupby(["sample", "site"], sort=False):
        images = float(rows["train_images"].iloc[0])
        alike = any(images * ALIKE > other.images for other in made)
        if site or alike or rows["val_value"].isna().all() or rows["value"].isna().all():
            continue
        ascending = not cells.draws.measure.higher_is_better
        chosen, *others = rows.sort_values("val_value", ascending=ascending, kind="stable").index
        differences = cells.differences([(at, chosen) for at in others])
        differences = differences.set_axis(pd.Index(others), axis=0)
        above = above_floor(cells, [chosen, *others], floor, metric)
        made.append(Choice(str(sample), images, chosen, differences, above))
    return made


def above_floor(cells: Cells, at: Sequence[int], floor: Floor | None, metric: str) -> pd.DataFrame:
    """Means of cells minus the floor, with intervals that hold for these cells at once."""
    if floor is None:
        return pd.DataFrame(columns=["difference", "low", "high", "verdict"])
    draws = cells.draws
    with_floor = replace(
        draws,
        point=np.append(draws.point, floor.value("test", metric)),
        replicates=np.vstack([draws.replicates, floor.draws[metric].to_numpy(float)]),
    )
    last = len(draws.point)
    intervals = with_floor.differences([Contrast(cells.rows[c]["at"].tolist(), [last], paired=False) for c in at])
    table = pd.DataFrame(intervals, columns=["difference", "low", "high"], index=pd.Index(at))
    return table.assign(verdict=[draws.verdict(low, high) for _, low, high in intervals])


def cheapest(cells: Cells, among: Sequence[int], than: int) -> int:
    """The cell with the shortest training, where it saves something over `than`; else `than`."""
    seconds = cells.table["seconds"]
    known = [cell for cell in among if np.isfinite(seconds[cell])]
    best = min(known, key=lambda cell: float(seconds[cell]), default=than)
    return best if seconds[than] > CHEAPER * seconds[best] else than


def more(cells: Cells, a: int, b: int) -> More:
    """Of the difference of two cells alone: its interval, at the level of the study, would just exclude zero."""
    draws, contrast = cells.draws, cells.contrast(a, b)
    values = draws.point[list(contrast.a)], draws.point[list(contrast.b)]
    difference = abs(float(values[0].mean() - values[1].mean()))
    drawn = draws.replicates[list(contrast.a)].mean(axis=0) - draws.replicates[list(contrast.b)].mean(axis=0)
    patients = bootstrap_variance(drawn[np.isfinite(drawn)], draws.clusters)
    parts = [values[0] - values[1]] if contrast.paired else list(values)
    of_seeds = [(float(part.var(ddof=1)), len(part)) for part in parts if len(part) > 1]

    def shows(times: float, seeds: int | None) -> bool:
        terms = [(patients / times, draws.clusters * times - 1)]
        terms += [(variance / (seeds or n), (seeds or n) - 1.0) for variance, n in of_seeds]
        variance, quantile = cochran(terms, (1 + draws.level) / 2)
        return bool(quantile * variance**0.5 < difference)

    steps = np.geomspace(1, MOST_PATIENTS, 200)
    times = next((float(t) for t in steps if shows(t, None)), None)
    fewest = min((n for _, n in of_seeds), default=1)
    seeds = next((n for n in range(fewest, MOST_SEEDS + 1) if shows(1, n)), None) if of_seeds else None
    return More(None if times is None else times * draws.clusters, seeds)
