"""The house's look for figures, and nothing else: sizes, ink, colours. Every figure in a report is made with it.

    fig, axes = figure(6, 4)            # axes is always a 2-d array: axes[0, 0] is the first
    axes[0, 0].plot(x, y, color=strategy_colours(["fine_tune"])["fine_tune"])
    save(fig, "reports/compare/figures/roc.png")

Figures are plain `Figure` objects (no pyplot: no global state, no window), and the same drawing gives the same
bytes. Colours are Okabe and Ito's, which people with any of the common colour blindnesses can tell apart; samples
differ by marker and line style as well, so a print in black and white still reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from ..core.files import atomic

INK, MUTED, GRID, PAPER = "#1b2026", "#66707b", "#e3e6e9", "#ffffff"
GOOD, BAD = "#0072b2", "#d55e00"  # right and wrong predictions, never green against red
SEQUENTIAL = "Blues"  # colour map for counts, as in a confusion matrix
HEAT = "magma"  # colour map for heat maps: rises in lightness, so it survives grey
DPI = 144

# The baseline is grey and what is compared with it is coloured. Other names take the free colours in order.
_STRATEGIES = {
    "from_scratch": "#7b838c",
    "feature_extraction": "#0072b2",
    "fine_tune": "#d55e00",
    "progressive_unfreezing": "#009e73",
    "discriminative_lr": "#b8609a",
}
_CYCLE = ["#0072b2", "#d55e00", "#009e73", "#b8609a", "#e69f00", "#56b4e9", "#7b838c", "#9a7d0a"]
_MARKS = [("o", "-"), ("s", "--"), ("^", ":"), ("D", "-."), ("v", (0, (5, 1))), ("P", (0, (1, 1)))]

_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib: the same bytes on every machine
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "figure.facecolor": PAPER,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "axes.facecolor": PAPER,
    "image.cmap": "gray",
}


def figure(width: float, height: float, rows: int = 1, cols: int = 1, **grid: Any) -> tuple[Figure, np.ndarray]:
    """An empty figure of `width` × `height` inches in the house style, and its (rows, cols) array of axes.

    `grid` goes to `Figure.subplots`: sharex, sharey, width_ratios, …
    """
    matplotlib.rcParams.update(_STYLE)  # artists read it when they are made, so a context manager would end too soon
    fig = Figure(figsize=(width, height), layout="constrained")
    return fig, fig.subplots(rows, cols, squeeze=False, **grid)


def save(fig: Figure, path: Path | str) -> Path:
    """Write a PNG at 144 dpi, whole or not at all, without the version stamp that would change its bytes."""
    with atomic(path) as partial:
        fig.savefig(partial, format="png", dpi=DPI, metadata={"Software": None})
    return Path(path)


def colours(names: Sequence[str]) -> dict[str, str]:
    """One colour per name (classes, models), in the order given."""
    return {name: _CYCLE[i % len(_CYCLE)] for i, name in enumerate(names)}


def strategy_colours(names: Sequence[str]) -> dict[str, str]:
    """One colour per strategy; a well-known strategy has the same one in every figure of every report."""
    taken = {_STRATEGIES[name] for name in names if name in _STRATEGIES}
    free = [colour for colour in _CYCLE if colour not in taken] or _CYCLE
    others = [name for name in names if name not in _STRATEGIES]
    extra = {name: free[i % len(free)] for i, name in enumerate(others)}
    return {name: _STRATEGIES.get(name) or extra[name] for name in names}


def sample_marks(names: Sequence[str]) -> dict[str, tuple[str, object]]:
    """(marker, line style) per sample; `full` is always the disc and the solid line."""
    others = [name for name in names if name != "full"]
    marks = {name: _MARKS[1:][i % len(_MARKS[1:])] for i, name in enumerate(others)}
    return {name: marks.get(name, _MARKS[0]) for name in names}
