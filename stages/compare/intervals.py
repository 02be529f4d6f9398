"""Differences between models, with paired intervals: AUROC by ranks and a bootstrap that draws patients.

Shapes: N test images, K classes, B replicates. Every model is scored on the same draws of the same patients, so what
is hard about a draw is hard for all of them and cancels in the difference (DeLong et al. 1988 pair for that reason;
drawing patients, not images, respects that films of one patient are alike).
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


def model_auroc(truth: np.ndarray, prob: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(B,): two classes, the area for the last one; more, the mean over one-versus-rest areas."""
    classes = [1] if prob.shape[1] == 2 else range(prob.shape[1])
    return np.mean([auroc(truth == c, prob[:, c], weights) for c in classes], axis=0)


def draws(patients: Sequence[str], replicates: int, seed: int) -> Iterator[np.ndarray]:
    """Chunks of (b, N) weights: each row draws as many patients as there are, with replacement."""
    names, of_image = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK // max(len(of_image), 1))
    for start in range(0, replicates, step):
        size = min(step, replicates - start)
        yield rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=size)[:, of_image]


def aurocs(
    truth: np.ndarray, probs: Sequence[np.ndarray], patients: Sequence[str], replicates: int, seed: int
) -> np.ndarray:
    """(models, B): every model on the same draws."""
    chunks = [[model_auroc(truth, prob, w) for prob in probs] for w in draws(patients, replicates, seed)]
    return np.concatenate(chunks, axis=1)


def prf(
    truth: np.ndarray, called: np.ndarray, patients: Sequence[str], replicates: int, seed: int, level: float
) -> np.ndarray:
    """Intervals of precision, recall and F1 of one class, (models, 3, 2). `truth` (N,) bool: the image is of the
    class; `called` (models, N) bool: the model said so."""
    rows = []
    for w in draws(patients, replicates, seed):
        both, said, there = w @ (called & truth).T, w @ called.T, w @ truth[:, None]  # (b, models), (b, 1)
        with np.errstate(invalid="ignore"):
            rows.append(np.stack([both / said, both / there, 2 * both / (said + there)]))
    values = np.concatenate(rows, axis=1)  # (3, B, models)
    return np.stack([[interval(values[i, :, m], level) for i in range(3)] for m in range(len(called))])


def interval(values: np.ndarray, level: float) -> np.ndarray:
    """(2,) percentile interval; draws without an answer are left out."""
    kept = values[np.isfinite(values)]
    return np.quantile(kept, [(1 - level) / 2, (1 + level) / 2]) if len(kept) else np.full(2, np.nan)
