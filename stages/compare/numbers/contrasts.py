"""Differences between models, with paired intervals: AUROC by ranks and a bootstrap that draws patients.

Shapes: N test images, K classes, B replicates. Every model is scored on the same draws of the same patients, so what
is hard about a draw is hard for all of them and cancels in the difference (DeLong et al. 1988 pair for that reason;
drawing patients, not images, respects that films of one patient are alike).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...shared.measures.statistics import auroc, draws, interval, once  # noqa: F401


def model_auroc(truth: np.ndarray, prob: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(B,): two classes, the area for the last one; more, the mean over one-versus-rest areas."""
    classes = [1] if prob.shape[1] == 2 else range(prob.shape[1])
    return np.mean(
        [auroc(truth == c, prob[:, c], once(len(truth)) if weights is None else weights) for c in classes], axis=0
    )


def aurocs(
    truth: np.ndarray, probs: Sequence[np.ndarray], patients: Sequence[str], replicates: int, seed: int
) -> np.ndarray:
    """(models, B): every model on the same draws."""
    chunks = [[model_auroc(truth, prob, w) for prob in probs] for w in draws(patients, replicates, seed)]
    return np.concatenate(chunks, axis=1)


def seed_weights(seeds: int, replicates: int, seed: int, stream: int = 0) -> np.ndarray:
    """(B, seeds) weights, each row of sum 1: one draw fewer than there are seeds, with replacement.

    n - 1 draws of n give the mean the variance s²/n; n draws would give (n - 1)/n of it, a third too little for three
    seeds (Rao & Wu 1988, "Resampling inference with complex survey data"). Equal arguments give equal draws.
    """
    drawn = max(seeds - 1, 1)
    rng = np.random.default_rng([seed, seeds, stream])
    return rng.multinomial(drawn, np.full(seeds, 1 / seeds), size=replicates) / drawn
