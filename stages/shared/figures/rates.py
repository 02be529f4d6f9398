"""Who learned when, and how fast: learning rates over epochs × blocks as a picture, the head on top.

Its table has the columns epoch (from 0), block (in the order of the network, the head last) and lr (NaN: frozen), one
row per epoch and block.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from .style import GRID, INK, MUTED

DECADES = 4  # below the highest rate; what lies lower has the palest colour
GAP = 0.08  # between two blocks, as a share of a row
# One hue that fades away, so that low rates are faint on a white page and on a dark one.
FADE = LinearSegmentedColormap.from_list("fade", [(0.0, 0.447, 0.698, 0.15), (0.0, 0.447, 0.698, 1.0)])


def grid(table: pd.DataFrame) -> pd.DataFrame:
    """Blocks × epochs, the head in the first row; NaN: frozen."""
    wide = table.pivot(index="block", columns="epoch", values="lr")
    return wide.loc[list(dict.fromkeys(table["block"]))[::-1]]


def scale(tables: Sequence[pd.DataFrame]) -> Normalize:
    """Of log10 of the rate: from the highest of all tables down to the lowest, in whole decades."""
    rates = np.concatenate([table["lr"].to_numpy(float) for table in tables])
    logs = np.log10(rates[rates > 0])
    high = logs.max() if len(logs) else 0.0
    span = np.ceil(round(high - logs.min(), 6)) if len(logs) else 1
    return Normalize(high - min(max(span, 1), DECADES), high, clip=True)


def draw(ax: Axes, rates: pd.DataFrame, norm: Normalize) -> None:
    """One plan: a row per block, a cell per epoch, frozen spells hatched, each block's highest rate at its right."""
    first, last = rates.columns[0] + 0.5, rates.columns[-1] + 1.5  # people count epochs from 1
    for y, values in enumerate(rates.to_numpy(float)):
        band = (first, last, y + 0.5 - GAP, y - 0.5 + GAP)
        colour = FADE(norm(np.log10(np.where(values > 0, values, 10**norm.vmin))))
        colour[np.isnan(values), 3] = 0
        ax.imshow(colour[None], extent=band, aspect="auto", interpolation="none")
        for start, stop in spells(np.isnan(values)):
            ax.add_patch(frozen((first + start, y - 0.5 + GAP), stop - start, 1 - 2 * GAP))
        ax.annotate(
            short(np.nanmax(values)) if np.isfinite(values).any() else "frozen", (last, y), (3, 0),
            textcoords="offset points", va="center", fontsize=6.5, color=MUTED, annotation_clip=False,
        )  # fmt: skip
    ax.set(xlim=(first, last), ylim=(len(rates) - 0.45, -0.55))
    ax.set_yticks(range(len(rates)), rates.index)
    ax.tick_params(axis="y", length=0, labelcolor=INK)
    ax.tick_params(axis="x", length=2)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    ax.spines["left"].set_visible(False)


def frozen(corner: tuple[float, float], width: float, height: float) -> Rectangle:
    return Rectangle(corner, width, height, facecolor="none", edgecolor=GRID, hatch="/////", linewidth=0)


def spells(flags: np.ndarray) -> list[tuple[int, int]]:
    """(start, stop) of every unbroken run of True."""
    runs = [(flag, len(list(run))) for flag, run in groupby(flags.tolist())]
    ends = np.cumsum([n for _, n in runs])
    return [(int(end) - n, int(end)) for (flag, n), end in zip(runs, ends, strict=True) if flag]


def legend(fig: Figure, axes: np.ndarray, norm: Normalize, **place: object) -> None:
    """The colour scale of all panels; `place` goes to `Figure.colorbar`."""
    bar = fig.colorbar(ScalarMappable(norm, FADE), ax=axes, label="learning rate", **place)
    ticks = [norm.vmax - decade for decade in range(round(norm.vmax - norm.vmin) + 1)]
    bar.set_ticks(ticks, labels=[*(short(10**t) for t in ticks[:-1]), f"≤ {short(10 ** ticks[-1])}"])
    bar.solids.set_rasterized(True)  # as 256 paths they would show seams
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)


def short(rate: float) -> str:
    """0.00025 -> 2.5e-4."""
    digits, exponent = f"{rate:.1e}".split("e")
    return f"{digits.removesuffix('.0')}e{int(exponent)}" if rate else "0"
