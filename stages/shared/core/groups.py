"""Which images must stay together, on one side of a split or of a cross-validation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def groups(patients: pd.Series, clusters: pd.Series) -> np.ndarray:
    """int64, one per image, in order of first appearance: what must stay together. These are all images of a patient
    and all duplicates of a picture, under any patient's name.

    Images are the edges of a graph between patients and clusters; a group is a connected part of it.
    """
    patient, cluster = pd.factorize(patients)[0], pd.factorize(clusters)[0]
    clusters_from = patient.max() + 1
    nodes = clusters_from + cluster.max() + 1
    edges = (np.ones(len(patient), bool), (patient, clusters_from + cluster))
    part = connected_components(coo_array(edges, shape=(nodes, nodes)), directed=False)[1][patient]
    return np.asarray(pd.factorize(part)[0])
