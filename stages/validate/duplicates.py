"""Images that are the same picture: equal bytes, or hashes that differ in a few bits and thumbnails that correlate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .params import NearDuplicates

BLOCK = 4096  # hashes compared at once with as many others: 64 MiB of distances


def clusters(sha256: Sequence[str], dhash: Sequence[str | None], thumbnails: Sequence[bytes | None],
             near: NearDuplicates) -> np.ndarray:  # fmt: skip
    """int64, one per image: equal numbers mean the same picture, directly or through others; numbered in order of
    first appearance. An image whose `dhash` is None (unreadable, blank) is only compared by its bytes."""
    links = [_equal(sha256)]
    hashed = np.array([i for i, text in enumerate(dhash) if text], np.int64)
    if len(hashed):
        pairs = near_pairs(unpack([dhash[i] for i in hashed], near.hash_size), near.distance)
        pictures = np.stack([np.frombuffer(thumbnails[i], np.uint8) for i in hashed])
        links.append(hashed[pairs[correlations(pictures, pairs) >= near.correlation]])
    first, second = np.concatenate(links).T
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(len(sha256), len(sha256)))
    return _renumber(connected_components(graph, directed=False)[1])


def correlations(pictures: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Pearson's r of the pixels of each pair; `pictures` N×pixels, `pairs` P×2; 0 for a picture of one grey."""
    result = np.empty(len(pairs))
    for start in range(0, len(pairs), BLOCK):
        one, other = pictures[pairs[start : start + BLOCK].T].astype(np.float64)  # each P×pixels
        one, other = (x - x.mean(1, keepdims=True) for x in (one, other))
        scale = np.sqrt((one**2).sum(1) * (other**2).sum(1))
        result[start : start + BLOCK] = (one * other).sum(1) / np.maximum(scale, 1e-9)
    return result


def unpack(hashes: Sequence[str], hash_size: int) -> np.ndarray:
    """Hex strings -> bits, uint8 N×hash_size²; the padding of the first hex digit is cut off."""
    bits = hash_size**2
    digits = -(-bits // 4)
    width = digits + digits % 2
    data = np.frombuffer(bytes.fromhex("".join(text.zfill(width) for text in hashes)), np.uint8)
    return np.unpackbits(data.reshape(len(hashes), -1), axis=1)[:, -bits:]


def near_pairs(bits: np.ndarray, distance: int) -> np.ndarray:
    """int64 P×2, i < j: the pairs of rows that differ in at most `distance` bits.

    With bits as ±1 the product of two rows is their length minus twice their distance, so the work is a
    matrix product: exact in float32, and 50,000 images take seconds.
    """
    signs = bits.astype(np.float32) * 2 - 1
    least = bits.shape[1] - 2 * distance
    found = [np.empty((0, 2), np.int64)]
    for top in range(0, len(signs), BLOCK):
        for left in range(top, len(signs), BLOCK):
            near = signs[top : top + BLOCK] @ signs[left : left + BLOCK].T >= least
            i, j = np.nonzero(np.triu(near, 1) if left == top else near)
            found.append(np.column_stack([i + top, j + left]))
    return np.concatenate(found)


def _equal(sha256: Sequence[str]) -> np.ndarray:
    """int64 N×2: every image with the first one of its bytes."""
    _, first, inverse = np.unique(np.asarray(sha256, dtype=str), return_index=True, return_inverse=True)
    return np.column_stack([first[inverse], np.arange(len(sha256))]).astype(np.int64)


def _renumber(labels: np.ndarray) -> np.ndarray:
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first)).astype(np.int64)[inverse]
