"""How far the boundaries of two masks lie apart.

The boundary of a mask is what an erosion by the 3×3 cross takes away: its pixels with a neighbour above, below, left or
right that is not of the mask. Outside the image there is no mask, so a mask that touches the edge has a boundary there.
A distance is Euclidean, between the centres of pixels, from each boundary pixel of one mask to the nearest boundary
pixel of the other. MONAI has the same definitions and is the reference in the tests, for two masks that are not empty.

Tools differ: for some images, Hausdorff distances of eleven of them were more than 100 mm apart (Podobnik & Vrtovec
2024, arXiv 2410.02630), mostly because of the boundary and the spacing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SurfaceScores:
    """`hd95`: the larger of the two 95th percentiles, one per direction, in pixels. `mean`: of the distances of both
    directions together, in pixels. `dice`: share of all boundary pixels within the tolerance."""

    hd95: float
    mean: float
    dice: float


def surface_scores(predicted: np.ndarray, truth: np.ndarray, tolerance: float) -> SurfaceScores:
    """Of two masks, boolean H×W. `tolerance`: pixels.

    Both empty: NaN. One empty: the distances are the diagonal of the image and the surface Dice is 0, so that no model
    gains by predicting nothing.
    """
    there = bool(predicted.any()), bool(truth.any())
    if not any(there):
        return SurfaceScores(np.nan, np.nan, np.nan)
    if not all(there):
        diagonal = float(np.hypot(*truth.shape))
        return SurfaceScores(diagonal, diagonal, 0.0)
    directions = boundary_distances(predicted, truth)
    distances = np.concatenate(directions)
    hd95 = max(float(np.quantile(direction, 0.95)) for direction in directions)
    return SurfaceScores(hd95, float(distances.mean()), float((distances <= tolerance).mean()))


def boundary_distances(predicted: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(from each boundary pixel of `predicted` to the nearest of `truth`, the other way round), of two masks that are
    not empty."""
    from scipy.spatial import KDTree  # not above: compare reads only the numbers

    union = predicted | truth
    rows, columns = (np.flatnonzero(union.any(axis=axis)) for axis in (1, 0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]  # outside it there is nothing of either
    a, b = (points(boundary(mask[box])) for mask in (predicted, truth))
    # far fewer points than pixels, so a tree of them is faster than a distance transform; a plain tree is built fastest
    trees = [KDTree(each, compact_nodes=False, balanced_tree=False) for each in (a, b)]
    return trees[1].query(a)[0], trees[0].query(b)[0]


def boundary(mask: np.ndarray) -> np.ndarray:
    """Boolean H×W."""
    edge = mask.copy()
    edge[1:-1, 1:-1] &= ~(mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:])
    return edge


def points(mask: np.ndarray) -> np.ndarray:
    """n×2: row and column of each pixel of the mask."""
    return np.stack(np.divmod(np.flatnonzero(mask), mask.shape[1]), axis=1).astype(np.float64)
