"""What must stay together: all images of a patient, and all copies of a picture, whoever's name they bear."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def groups(patients: Sequence[str], clusters: Sequence[int]) -> np.ndarray:
    """int64, one per image, numbered in order of first appearance.

    Images are the edges of a graph between patients and clusters; a group is a connected part of it.
    """
    _, patient = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    _, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    nodes = patient.max() + cluster.max() + 2
    edges = (np.ones(len(patient), bool), (patient, cluster + patient.max() + 1))
    part = connected_components(coo_array(edges, shape=(nodes, nodes)), directed=False)[1][patient]
    _, first, inverse = np.unique(part, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first)).astype(np.int64)[inverse]
