"""Histograms of oriented gradients (Dalal & Triggs 2005), as scikit-image computes them: unsigned, hard bins, central
differences, blocks of 2 × 2 cells with L2-Hys.

Shapes: N images; S side in pixels, C = S / CELL cells a side, B bins.
"""

from __future__ import annotations

import numpy as np

CELL, BLOCK, BINS = 8, 2, 9
CLIP, TINY = 0.2, 1e-5
CHUNK = 1024  # images at once


def hog(pictures: np.ndarray) -> np.ndarray:
    """float32 N×((C - 1)² · BLOCK² · B), of grey levels N×S×S; S is a multiple of CELL."""
    chunks = [_hog(pictures[start : start + CHUNK]) for start in range(0, len(pictures), CHUNK)]
    return np.concatenate(chunks)


def _hog(pictures: np.ndarray) -> np.ndarray:
    down, across = np.zeros_like(pictures, np.float32), np.zeros_like(pictures, np.float32)
    down[:, 1:-1] = pictures[:, 2:] - pictures[:, :-2]
    across[:, :, 1:-1] = pictures[:, :, 2:] - pictures[:, :, :-2]
    strength = np.hypot(down, across)
    angle = np.rad2deg(np.arctan2(down, across)) % 180
    bins = np.minimum(angle * BINS // 180, BINS - 1).astype(np.int64)
    n, side, _ = pictures.shape
    cells = side // CELL
    cell = np.arange(side) // CELL
    at = ((np.arange(n)[:, None, None] * cells + cell[:, None]) * cells + cell) * BINS + bins
    sums = np.bincount(at.ravel(), strength.ravel(), n * cells * cells * BINS) / CELL**2
    return _blocks(sums.reshape(n, cells, cells, BINS)).astype(np.float32)


def _blocks(cells: np.ndarray) -> np.ndarray:
    """N×C×C×B -> N×F: every 2 × 2 cells, scaled to length 1, clipped, and scaled again."""
    last = cells.shape[1] - BLOCK + 1
    shifts = [cells[:, i : i + last, j : j + last] for i in range(BLOCK) for j in range(BLOCK)]
    blocks = np.concatenate(shifts, axis=-1)
    blocks = _unit(np.minimum(_unit(blocks), CLIP))
    return blocks.reshape(len(blocks), -1)


def _unit(blocks: np.ndarray) -> np.ndarray:
    return np.asarray(blocks / np.sqrt((blocks**2).sum(axis=-1, keepdims=True) + TINY**2))
