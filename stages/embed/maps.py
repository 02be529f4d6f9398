"""Two coordinates for every image: t-SNE, which keeps neighbours together, and PCA, which keeps distances.

Shapes: N images, F features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

COMPONENTS = 50  # that t-SNE reads: what more of them would add is mostly noise (van der Maaten & Hinton 2008)
START = 1e-4  # spread of the coordinates that t-SNE starts from, PCA's: scikit-learn's
ANGLE = 0.8  # of the Barnes-Hut tree: as good a map as with 0.5, in less time


@dataclass(frozen=True)
class Maps:
    """tsne, pca: float32 N×2. explained: shares of the variance along PCA's two axes. divergence: t-SNE's loss."""

    tsne: np.ndarray
    pca: np.ndarray
    explained: tuple[float, float]
    divergence: float


def maps(features: np.ndarray, perplexity: float, iterations: int, seed: int) -> Maps:
    """Of N×F features, on one thread: sums in another order give another map, whose clusters lie elsewhere."""
    with threadpool_limits(limits=1):
        pca = PCA(min(COMPONENTS, *features.shape), random_state=seed)
        components = pca.fit_transform(features)
        axes = np.zeros((len(features), 2), np.float32)
        axes[:, : components.shape[1]] = components[:, :2]
        start = START * axes / max(float(axes[:, 0].std()), 1e-12)
        tsne = TSNE(perplexity=perplexity, max_iter=iterations, init=start, angle=ANGLE, random_state=seed)
        coordinates = tsne.fit_transform(components)
    explained = [*np.nan_to_num(pca.explained_variance_ratio_).tolist(), 0.0]
    return Maps(coordinates.astype(np.float32), axes, (explained[0], explained[1]), float(tsne.kl_divergence_))


def choose(use: np.ndarray, points: int, seed: int) -> np.ndarray:
    """Rows for the maps, sorted: test and validation images first, then training images, drawn with the seed."""
    order = np.random.default_rng(seed).permutation(len(use))
    rank = np.select([use == "test", use == "val"], [0, 1], 2)
    return np.sort(order[np.argsort(rank[order], kind="stable")][:points])
