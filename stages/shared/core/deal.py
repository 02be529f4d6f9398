"""Groups -> parts of given shares, so that every part has the classes in the same proportion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESTARTS = 16  # greedy deals of a small set, of which the best counts
DEALT = 2_000  # groups that all restarts deal together: a large set is even after one
SWAPS = 200  # groups up to which pairs are exchanged: their number grows with the square
EVEN = 1e-6  # cost: each part has each class to about a thousandth
MISSING = 1e6  # cost of a class that a part lacks: more than any unevenness


def deal(counts: np.ndarray, shares: Sequence[float], least: Sequence[int], seed: int) -> np.ndarray:
    """int64 G: the part of each group.

    `counts`: int G×K, images of each class in each group. `shares`: P, they sum to 1. `least`: P, of how many groups
    each part needs images of every class; where that can be met at all, it nearly always is. The same seed gives the
    same parts.

    Greedy deals, large groups first or in any order, are each improved by moving and exchanging groups until
    nothing helps. scikit-learn's StratifiedGroupKFold is one greedy deal into equal parts; the tests compare with it,
    and on small sets with all possible deals.
    """
    table = _Table.of(counts, shares, least)
    size = table.groups[:, counts.shape[1]]
    rng = np.random.default_rng(seed)
    parts: list[np.ndarray] = []
    for restart in range(max(1, min(RESTARTS, DEALT // len(counts)))):
        order = rng.permutation(len(counts))
        if restart % 4 == 0:
            order = order[np.argsort(-size[order], kind="stable")]
        parts.append(table.improved(table.greedy(order)))
    costs = np.array([table.cost(slice(None), table.sums(part)).sum() for part in parts])
    return parts[int(rng.choice(np.flatnonzero(costs <= costs.min() + 1e-9)))]


@dataclass(frozen=True)
class _Table:
    """`groups`: G×F, of each group its images of each class, all its images, and 1 for each class that it has. The sums
    over the groups of a part are compared with `target` (P×(K+1)) and `least` (P)."""

    groups: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    least: np.ndarray

    @classmethod
    def of(cls, counts: np.ndarray, shares: Sequence[float], least: Sequence[int]) -> _Table:
        images = np.column_stack([counts, counts.sum(1)])
        target = np.outer(shares, images.sum(0))
        weight = 1 / np.maximum(target * images.sum(0), 1e-12)  # a rare class counts as much as a frequent one
        return cls(np.column_stack([images, counts > 0]).astype(float), target, weight, np.asarray(least, float))

    def cost(self, part: np.ndarray | slice, sums: np.ndarray) -> np.ndarray:
        """Of parts (any shape) with these `sums` (that shape × F): squared distance from the target, relative to it."""
        measured = self.target.shape[1]
        uneven = (self.weight[part] * (sums[..., :measured] - self.target[part]) ** 2).sum(-1)
        missing = np.maximum(self.least[part][..., None] - sums[..., measured:], 0).sum(-1)
        return np.asarray(uneven + MISSING * missing)

    def sums(self, part: np.ndarray) -> np.ndarray:
        """P×F."""
        return np.stack([self.groups[part == p].sum(0) for p in range(len(self.target))])

    def greedy(self, order: np.ndarray) -> np.ndarray:
        """Each group to the part where it lowers the cost most."""
        part = np.empty(len(self.groups), np.int64)
        sums = np.zeros((len(self.target), self.groups.shape[1]))
        costs = self.cost(slice(None), sums)
        for g in order:
            after = self.cost(slice(None), sums + self.groups[g])
            p = part[g] = int(np.argmin(after - costs))
            sums[p] += self.groups[g]
            costs[p] = after[p]
        return part

    def improved(self, part: np.ndarray) -> np.ndarray:
        """The best move of one group, again and again; where none helps, the best exchange of two."""
        part = part.copy()
        everyone = np.arange(len(part))
        for _ in range(max(20, 100_000 // len(part))):
            sums = self.sums(part)
            costs = self.cost(slice(None), sums)
            if costs.sum() < EVEN:
                break
            leaving = self.cost(part, sums[part] - self.groups) - costs[part]
            entering = self.cost(slice(None), sums + self.groups[:, None]) - costs  # G×P
            change = leaving[:, None] + entering
            change[everyone, part] = 0
            mover, to = np.unravel_index(np.argmin(change), change.shape)
            if change[mover, to] < -1e-9:
                part[mover] = to
                continue
            if len(part) > SWAPS:
                break
            g, h = np.triu_indices(len(part), 1)
            apart = part[g] != part[h]
            g, h = g[apart], h[apart]
            exchanged = self.groups[h] - self.groups[g]
            change = self.cost(part[g], sums[part[g]] + exchanged) - costs[part[g]]
            change += self.cost(part[h], sums[part[h]] - exchanged) - costs[part[h]]
            if not len(change) or change.min() >= -1e-9:
                break
            pair = np.argmin(change)
            part[g[pair]], part[h[pair]] = part[h[pair]], part[g[pair]]
        return part
