"""AUROC by ranks, draws of patients, percentile intervals: what evaluate and compare both rest on.

A bootstrap by patient is the same as giving each image the weight of how often its patient was drawn. Patients, not
images: films of one patient resemble each other, and counting them as independent makes every interval too narrow.

Shapes: N images, B replicates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

CHUNK = 4_000_000  # weights held at once: 32 MB


def auroc(positive: np.ndarray, score: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Area under the ROC curve, the chance that a positive outranks a negative; a tie counts half.

    `positive` (N,) bool, `score` (N,), `weights` (B, N) how often each image was drawn -> (B,). NaN where a draw has
    one class only.
    """
    weights = np.ones((1, len(score))) if weights is None else weights
    order = np.argsort(score, kind="stable")
    _, starts = np.unique(score[order], return_index=True)
    w, pos = weights[:, order].astype(float), positive[order]
    wins = np.add.reduceat(w * pos, starts, axis=1)  # (B, distinct scores)
    losses = np.add.reduceat(w * ~pos, starts, axis=1)
    below = np.cumsum(losses, axis=1) - losses
    pairs = wins.sum(1) * losses.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (wins * (below + 0.5 * losses)).sum(1) / np.where(pairs > 0, pairs, np.nan)


def draws(patients: Sequence[str], replicates: int, seed: int) -> Iterator[np.ndarray]:
    """Chunks of (b, N) weights: each row draws as many patients as there are, with replacement."""
    names, of_image = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK // max(len(of_image), 1))
    for start in range(0, replicates, step):
        size = min(step, replicates - start)
        yield rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=size)[:, of_image]


def interval(values: np.ndarray, level: float) -> np.ndarray:
    """(2,) percentile interval; draws without an answer are left out."""
    kept = values[np.isfinite(values)]
    return np.quantile(kept, [(1 - level) / 2, (1 + level) / 2]) if len(kept) else np.full(2, np.nan)
