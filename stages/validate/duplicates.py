"""Images that are the same picture: equal bytes, or hashes that differ in a few bits and thumbnails that correlate."""

from __future__ import annotations

import imagehash
import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .params import NearDuplicates

BLOCK = 4096  # hashes compared at once with as many others: 64 MiB of distances


def clusters(sha256: pd.Series, dhash: pd.Series, thumbnails: pd.Series, near: NearDuplicates) -> np.ndarray:
    """int64, one per image: equal numbers mean the same picture, directly or through others; numbered in order of
    first appearance. An image whose `dhash` is missing (unreadable, blank) is only compared by its bytes."""
    code, _ = pd.factorize(sha256)
    _, first = np.unique(code, return_index=True)
    links = [np.column_stack([first[code], np.arange(len(code))])]  # every image with the first one of its bytes
    hashed = np.flatnonzero(dhash.notna())
    if len(hashed):
        bits = np.stack([imagehash.hex_to_hash(text).hash.ravel() for text in dhash.iloc[hashed]])
        pairs = near_pairs(bits, near.distance)
        pictures = np.stack([np.frombuffer(data, np.uint8) for data in thumbnails.iloc[hashed]])
        links.append(hashed[pairs[correlations(pictures, pairs) >= near.correlation]])
    one, other = np.concatenate(links).T
    graph = coo_array((np.ones(len(one), bool), (one, other)), shape=(len(code), len(code)))
    return np.asarray(pd.factorize(connected_components(graph, directed=False)[1])[0])


def correlations(pictures: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Pearson's r of the pixels of each pair; `pictures` N×pixels, `pairs` P×2; 0 for a picture of one grey."""
    result = np.empty(len(pairs))
    for start in range(0, len(pairs), BLOCK):
        one, other = pictures[pairs[start : start + BLOCK].T].astype(np.float64)  # each P×pixels
        one, other = (x - x.mean(1, keepdims=True) for x in (one, other))
        scale = np.sqrt((one**2).sum(1) * (other**2).sum(1))
        result[start : start + BLOCK] = (one * other).sum(1) / np.maximum(scale, 1e-9)
    return result


def near_pairs(bits: np.ndarray, distance: int) -> np.ndarray:
    """`bits`: bool N×B. int64 P×2, i < j: the pairs of rows that differ in at most `distance` bits.

    With bits as ±1 the product of two rows is their length minus twice their distance, so the work is a
    matrix product: exact in float32, and 50,000 images take seconds.
    """
    signs = bits.astype(np.float32) * 2 - 1
    least = bits.shape[1] - 2 * distance
    pairs = [np.empty((0, 2), np.int64)]
    for top in range(0, len(signs), BLOCK):
        for left in range(top, len(signs), BLOCK):
            near = signs[top : top + BLOCK] @ signs[left : left + BLOCK].T >= least
            i, j = np.nonzero(np.triu(near, 1) if left == top else near)
            pairs.append(np.column_stack([i + top, j + left]))
    return np.concatenate(pairs)
