"""The leaderboard in tiers: what the test images tell apart, in place of an order that they do not.

Tier 1 is the first model and all that are not shown to be worse than it: with intervals that hold for all pairs at
once, this is multiple comparison with the best (Hsu 1981). The best of the rest begins the next tier, and so on. So
each model of a lower tier is shown to be worse than the first of every higher one, and all these claims hold at once.
Two models of neighbouring tiers need not be told apart, unless one of them is the first of its tier.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .draws import Draws


def tiers(draws: Draws, order: Sequence[int]) -> list[int | None]:
    """Of each model, from 1; None where its value is not defined. `order`: the models, best first."""
    tier: list[int | None] = [None] * len(draws.point)
    rest, number = [i for i in order if np.isfinite(draws.point[i])], 0
    while rest:
        number += 1
        differences = draws.differences_to(rest[0])
        worse = [i for i in rest if draws.verdict(*differences[i][1:]) == "worse"]
        for i in set(rest) - set(worse):
            tier[i] = number
        rest = worse
    return tier
