"""The images most alike, never of the same group: a patient, or several that share duplicates.

Shapes: Q queries, C candidates, F features, k neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CHUNK = 8_000_000  # cosines in memory at once: 32 MB


@dataclass(frozen=True)
class Neighbours:
    """rows: Q×k positions among the candidates, the most alike first. cosines: Q×k; -inf: there is no further one."""

    rows: np.ndarray
    cosines: np.ndarray


def nearest(
    queries: np.ndarray, query_groups: np.ndarray, candidates: np.ndarray, candidate_groups: np.ndarray, k: int
) -> Neighbours:
    """The k candidates with the largest cosine to each query, of other groups than its own.

    queries: Q×F, candidates: C×F, rows of length 1; groups: Q and C numbers.
    """
    k = min(k, len(candidates))
    rows, cosines = np.zeros((len(queries), k), np.int64), np.full((len(queries), k), -np.inf, np.float32)
    step = max(1, CHUNK // max(len(candidates), 1))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        alike = queries[part] @ candidates.T
        alike[query_groups[part, None] == candidate_groups[None]] = -np.inf
        best = np.sort(np.argpartition(-alike, k - 1, axis=1)[:, :k], axis=1)
        values = np.take_along_axis(alike, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        rows[part], cosines[part] = np.take_along_axis(best, order, 1), np.take_along_axis(values, order, 1)
    return Neighbours(rows, cosines)
