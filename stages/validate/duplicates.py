"""Images that are the same picture: equal bytes, or close hashes and, once aligned, equal thumbnails.

Files are compared as they are and with their uniform borders trimmed, because public sets hold the same slice or film
cropped and resized: the hashes of such files have nothing in common until the borders are gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .compared import Compared, keys_of
from .inspection import THUMBNAIL
from .params import NearDuplicates

BLOCK = 4096  # hashes compared at once with as many others: 64 MiB of distances
COARSE = 16  # px; side of the thumbnail at which a first look decides what is aligned
WORTH_ALIGNING = 0.988  # correlation at that size, to first order; the alignment itself takes milliseconds
FARTHEST = 1.5  # px of the thumbnail
ALIGNMENT = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-5)  # iterations, change of the correlation
BLUR = 3  # px, before the alignment


def clusters(images: pd.DataFrame, near: NearDuplicates, earlier: Compared | None = None) -> np.ndarray:
    """int64, one per image: equal numbers mean the same picture, directly or through others; numbered in order of
    first appearance.

    `images` has the columns sha256 and, for each view of the picture, dhash and thumbnail, trimmed_dhash and
    trimmed_thumbnail. An image whose hash is missing (unreadable, blank) is only compared by its bytes. `earlier`:
    comparisons that need not be made again; those of these images are added to it.
    """
    code, _ = pd.factorize(images["sha256"])
    _, first = np.unique(code, return_index=True)
    links = [np.column_stack([first[code], np.arange(len(code))])]  # every image with the first one of its bytes
    every = np.ones(len(images), bool)
    bordered = (images["trimmed_thumbnail"] != images["thumbnail"]).to_numpy(bool)
    # where there is nothing to trim, the first view has compared it with all of its kind
    for view, looked_at in (("", every), ("trimmed_", bordered)):
        hashed = np.flatnonzero(images[f"{view}dhash"].notna())
        if not looked_at[hashed].any():
            continue
        hashes, thumbnails = (images[f"{view}{name}"].iloc[hashed].tolist() for name in ("dhash", "thumbnail"))
        pictures = Pictures(hashes, thumbnails, looked_at[hashed])
        if earlier is None:
            links.append(hashed[same_pictures(pictures, near)])
            continue
        keys = keys_of(pictures.hashes, pictures.thumbnails, pictures.looked_at)
        known, pairs = earlier.known(view, keys)
        pairs = np.concatenate([pairs, same_pictures(pictures, near, ~known)])
        earlier.add(view, keys, pairs)
        links.append(hashed[pairs])
    one, other = np.concatenate(links).T
    graph = coo_array((np.ones(len(one), bool), (one, other)), shape=(len(code), len(code)))
    return np.asarray(pd.factorize(connected_components(graph, directed=False)[1])[0])


@dataclass(frozen=True)
class Pictures:
    """N hashes in hexadecimal digits and N thumbnails, of one view. `looked_at`: bool N; of two pictures that are
    compared, one is among these."""

    hashes: Sequence[str]
    thumbnails: Sequence[bytes]
    looked_at: np.ndarray


def same_pictures(pictures: Pictures, near: NearDuplicates, new: np.ndarray | None = None) -> np.ndarray:
    """int64 P×2: pairs that look the same. `new`: bool N; of each pair one is among these, without it any."""
    bits, looked = bits_of(pictures.hashes), pictures.looked_at
    new = np.ones(len(bits), bool) if new is None else new
    # of each pair one is new and one is looked at; that may be the same one, or not
    both = new & looked
    order = np.concatenate([np.flatnonzero(both), np.flatnonzero(~both)])
    pairs = order[near_pairs(bits[order], near.distance, int(both.sum()))]
    known, others = np.flatnonzero(looked & ~new), np.flatnonzero(new & ~looked)
    across = near_between(bits[known], bits[others], near.distance)
    pairs = np.concatenate([pairs, np.column_stack([known[across[:, 0]], others[across[:, 1]]])])
    # the first look is not symmetric: which of two comes first is told by what they are, not by where they stand
    content = list(zip(pictures.hashes, pictures.thumbnails, strict=True))
    rank = np.empty(len(content), np.int64)
    rank[sorted(range(len(content)), key=content.__getitem__)] = np.arange(len(content))
    pairs = np.where((rank[pairs[:, 0]] <= rank[pairs[:, 1]])[:, None], pairs, pairs[:, ::-1])
    used, pairs = np.unique(pairs, return_inverse=True)
    pairs = pairs.reshape(-1, 2)
    if not len(pairs):
        return pairs
    squares = np.stack([np.frombuffer(pictures.thumbnails[i], np.uint8) for i in used])
    squares = squares.reshape(-1, THUMBNAIL, THUMBNAIL)
    step = THUMBNAIL // COARSE
    coarse = squares.reshape(-1, COARSE, step, COARSE, step).mean((2, 4), np.float32)
    pairs = pairs[alignable(coarse, pairs) >= min(WORTH_ALIGNING, near.correlation)]
    same = [aligned_correlation(squares[i], squares[j]) >= near.correlation for i, j in pairs]
    return np.asarray(used[pairs[np.array(same, bool)]])


def bits_of(hashes: Sequence[str]) -> np.ndarray:
    """bool N×B, from N hexadecimal texts of one length, all at once; imagehash takes them one by one.
    Zeros in front fill the first byte; they are the same in all, so distances stay what they are."""
    digits = len(hashes[0]) + len(hashes[0]) % 2
    data = bytes.fromhex("".join(text.zfill(digits) for text in hashes))
    return np.unpackbits(np.frombuffer(data, np.uint8).reshape(len(hashes), -1), axis=1).astype(bool)


def aligned_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's r of two square pictures, uint8, after the affine map of one to the other that makes it largest.

    0 where that map moves the picture by more than FARTHEST: it brings pictures together that are only alike.

    Crops seldom end on the same pixel, so that thumbnails of one picture can differ as much as chest films of two
    patients. Evangelidis and Psarakis, IEEE TPAMI 30(10), 2008; OpenCV's findTransformECC, which climbs to a maximum
    nearby: from one side it sometimes stops early.
    """
    if np.array_equal(one, other):
        return 1.0
    best, whole = 0.0, np.ones(one.shape, np.uint8)
    for fixed, moved in ((one, other), (other, one)):
        start = np.eye(2, 3, dtype=np.float32)
        try:
            correlation, affine = cv2.findTransformECC(fixed, moved, start, cv2.MOTION_AFFINE, ALIGNMENT, whole, BLUR)
        except cv2.error:  # no map brings them together
            continue
        if np.abs(np.asarray(affine)[:, 2]).max() <= FARTHEST:
            best = max(best, correlation)
    return best


def alignable(pictures: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """float P: about what `aligned_correlation` would give, in microseconds. `pictures`: float N×S×S, `pairs`: P×2.

    To first order, a small affine map adds to a picture six products of its gradient and the coordinates. So this is
    the multiple correlation of one picture with the other and those six; 0 for a picture of one grey.
    """
    result = np.empty(len(pairs))
    order = np.argsort(pairs[:, 0], kind="stable")
    firsts, starts = np.unique(pairs[order, 0], return_index=True)
    ends = np.append(starts, len(order))[1:]
    y, x = np.mgrid[-1 : 1 : pictures.shape[1] * 1j, -1 : 1 : pictures.shape[2] * 1j]
    for first, start, end in zip(firsts, starts, ends, strict=True):
        one, places = pictures[first], order[start:end]
        dy, dx = np.gradient(one)
        columns = np.stack([np.ones_like(one), one, dx, dy, x * dx, y * dx, x * dy, y * dy], axis=-1)
        basis = np.linalg.qr(columns.reshape(-1, 8))[0]
        others = pictures[pairs[places, 1]].reshape(len(places), -1)
        others = others - others.mean(1, keepdims=True)
        explained = ((others @ basis) ** 2).sum(1)
        result[places] = np.sqrt(explained / np.maximum((others**2).sum(1), 1e-9))
    return result


def near_pairs(bits: np.ndarray, distance: int, first: int | None = None) -> np.ndarray:
    """`bits`: bool N×B. int64 P×2, i < j: the pairs of rows that differ in at most `distance` bits; with `first`, only
    those with an i below it.

    With bits as ±1 the product of two rows is their length minus twice their distance, so the work is a
    matrix product: exact in float32. It grows with the square of N, and is small beside decoding: 50,000 hashes of 256
    bits take seconds. An index by parts of the hash would not help: two that differ in 24 of 256 bits need not agree in
    any part of more than 10, and in so few bits thousands of films agree.
    """
    signs = bits.astype(np.float32) * 2 - 1
    pairs = [np.empty((0, 2), np.int64)]
    first = len(signs) if first is None else first
    for top in range(0, first, BLOCK):
        rows = signs[top : min(first, top + BLOCK)]
        for left in range(top, len(signs), BLOCK):
            near = _near(rows, signs[left : left + BLOCK], distance)
            pairs.append(_places(np.triu(near, 1) if left == top else near) + np.array([top, left]))
    return np.concatenate(pairs)


def near_between(one: np.ndarray, other: np.ndarray, distance: int) -> np.ndarray:
    """The same of a row of `one` and a row of `other`, bool N×B and M×B: int64 P×2, places in both."""
    pairs = [np.empty((0, 2), np.int64)]
    signs = [bits.astype(np.float32) * 2 - 1 for bits in (one, other)]
    for top in range(0, len(one), BLOCK):
        for left in range(0, len(other), BLOCK):
            near = _near(signs[0][top : top + BLOCK], signs[1][left : left + BLOCK], distance)
            pairs.append(_places(near) + np.array([top, left]))
    return np.concatenate(pairs)


def _near(one: np.ndarray, other: np.ndarray, distance: int) -> np.ndarray:
    """bool N×M, of rows of ±1."""
    return np.asarray(one @ other.T >= one.shape[1] - 2 * distance)


def _places(near: np.ndarray) -> np.ndarray:
    """int64 P×2: row and column of what is true; numpy's own argwhere takes ten times as long where little is."""
    return np.column_stack(np.divmod(np.flatnonzero(near), near.shape[1]))
