"""Which blocks learned when, and how fast: learning rates over epochs × blocks, one panel per backbone and strategy.

A plan has the columns epoch (from 0), block (in the order of the network, the head last) and lr (NaN: frozen), one row
per epoch and block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from ...shared.figures.style import GRID, INK, MUTED, figure
from ..read import Member
from .style import Look

Pair = tuple[str, str]  # backbone, strategy

LIMIT = 40  # panels; reports/train/<key>/plan.csv has every plan
ACROSS = 6  # panels in one line
DECADES = 4  # below the highest rate; what lies lower has the palest colour
GAP = 0.08  # between two blocks, as a share of a row
# One hue that fades away, so that low rates are faint on a white page and on a dark one.
FADE = LinearSegmentedColormap.from_list("fade", [(0.0, 0.447, 0.698, 0.15), (0.0, 0.447, 0.698, 1.0)])


def plans(board: pd.DataFrame, members: Mapping[str, Member]) -> Figure:
    """Rows: backbones, columns: strategies; one colour scale. At most LIMIT panels, those of the best backbones."""
    look, tables = Look(board), shown(board, members)
    layout = lines(look, tables)
    grids = {pair: grid(table) for pair, table in tables.items()}
    norm = scale([tables[b, s] for b, names in layout for s in names if s])
    tall = [max(len(grids[b, s]) for s in names if s) + 2.6 for b, names in layout]
    across = len(layout[0][1])
    height = 0.75 + 0.15 * sum(tall)
    fig, axes = figure(1.0 + (1.75 if across < 5 else 1.5) * across, height, len(layout), across, height_ratios=tall)
    for row, (backbone, names) in zip(axes, layout, strict=True):
        first = next(ax for ax, name in zip(row, names, strict=True) if name)
        for ax, name in zip(row, names, strict=True):
            if name is None:
                ax.set_axis_off()
                continue
            panel(ax, grids[backbone, name], norm)
            ax.set_title(broken(name, 24 if across < 5 else 20), fontsize=8)
            ax.tick_params(axis="y", labelleft=ax is first)  # the first panel of a line names the blocks
        if len(look.backbones) > 1:
            row[0].set_ylabel(backbone, fontweight="bold")
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
    legend(fig, axes, norm, height)
    return fig


def left_out(board: pd.DataFrame, members: Mapping[str, Member]) -> int:
    """How many plans the figure has no room for."""
    tables = shown(board, members)
    return len(tables) - sum(name is not None for _, names in lines(Look(board), tables) for name in names)


def shown(board: pd.DataFrame, members: Mapping[str, Member]) -> dict[Pair, pd.DataFrame]:
    """The plan of each pair. Of several samples, the one that trained longest, the highest-ranked of equals: they share
    the plan and differ in when they stopped."""
    longest: dict[Pair, pd.DataFrame] = {}
    for row in board.itertuples():
        plan, pair = members[row.key].plan, (row.backbone, row.strategy)
        if pair not in longest or len(plan) > len(longest[pair]):
            longest[pair] = plan
    return longest


def lines(look: Look, tables: Mapping[Pair, pd.DataFrame]) -> list[tuple[str, list[str | None]]]:
    """(backbone, strategies) of each line of panels, strategies in columns; None: an empty place."""
    count = -(-len(look.strategies) // ACROSS)
    across = -(-len(look.strategies) // count)
    columns = [*look.strategies, *[""] * (across * count - len(look.strategies))]
    layout = [
        (backbone, [s if (backbone, s) in tables else None for s in columns[start : start + across]])
        for backbone in look.backbones
        for start in range(0, len(columns), across)
    ]
    return [line for line in layout if any(line[1])][: max(LIMIT // across, 1)]


def grid(plan: pd.DataFrame) -> pd.DataFrame:
    """Blocks × epochs, the head in the first row; NaN: frozen."""
    wide = plan.pivot(index="block", columns="epoch", values="lr")
    return wide.loc[list(dict.fromkeys(plan["block"]))[::-1]]


def scale(tables: Sequence[pd.DataFrame]) -> Normalize:
    """Of log10 of the rate: from the highest of all tables down to the lowest, in whole decades."""
    rates = np.concatenate([table["lr"].to_numpy(float) for table in tables])
    logs = np.log10(rates[rates > 0])
    high = logs.max() if len(logs) else 0.0
    span = np.ceil(round(high - logs.min(), 6)) if len(logs) else 1
    return Normalize(high - min(max(span, 1), DECADES), high, clip=True)


def panel(ax: Axes, rates: pd.DataFrame, norm: Normalize) -> None:
    """One plan: a row per block, a cell per epoch, frozen spells hatched, each block's highest rate at its right."""
    first, last = rates.columns[0] + 0.5, rates.columns[-1] + 1.5  # people count epochs from 1
    for y, values in enumerate(rates.to_numpy(float)):
        frozen = np.isnan(values)
        colour = FADE(norm(np.log10(np.where(values > 0, values, 10.0 ** float(norm.vmin or 0)))))
        colour[frozen, 3] = 0
        ax.imshow(colour[None], extent=(first, last, y + 0.5 - GAP, y - 0.5 + GAP), aspect="auto", interpolation="none")
        for start, stop in spells(frozen):
            corner, height = (first + start, y - 0.5 + GAP), 1 - 2 * GAP
            hatched = Rectangle(corner, stop - start, height, facecolor="none", edgecolor=GRID, hatch="/////", lw=0)
            ax.add_patch(hatched)
        ax.annotate(
            "frozen" if frozen.all() else short(np.nanmax(values)), (last, y), (3, 0),
            textcoords="offset points", va="center", fontsize=6.5, color=MUTED, annotation_clip=False,
        )  # fmt: skip
    ax.set(xlim=(first, last), ylim=(len(rates) - 0.45, -0.55))
    ax.set_yticks(range(len(rates)), rates.index)
    ax.tick_params(axis="y", length=0, labelcolor=INK)
    ax.tick_params(axis="x", length=2)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    ax.spines["left"].set_visible(False)


def legend(fig: Figure, axes: np.ndarray, norm: Normalize, height: float) -> None:
    """The colour scale of all panels, above them."""
    shrink = min(0.9, 2.6 / fig.get_figwidth())
    bar = fig.colorbar(
        ScalarMappable(norm, FADE), ax=axes, label="learning rate",
        location="top", anchor=(0.0, 0.5), shrink=shrink, aspect=22, pad=0.2 / height,
    )  # fmt: skip
    low, high = float(norm.vmin or 0), float(norm.vmax or 0)
    ticks = [high - decade for decade in range(round(high - low) + 1)]
    bar.set_ticks(ticks, labels=[*(short(10**t) for t in ticks[:-1]), f"≤ {short(10 ** ticks[-1])}"])
    if bar.solids:
        bar.solids.set_rasterized(True)  # as 256 paths they would show seams
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)


def spells(flags: np.ndarray) -> list[tuple[int, int]]:
    """(start, stop) of every unbroken run of True."""
    edges = np.flatnonzero(np.diff(np.r_[0, flags, 0])).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def short(rate: float) -> str:
    """0.00025 -> 2.5e-4."""
    digits, exponent = f"{rate:.1e}".split("e")
    return f"{digits.removesuffix('.0')}e{int(exponent)}" if rate else "0"


def broken(name: str, width: int) -> str:
    """A long name in two lines, at the underscore nearest to its middle."""
    if len(name) <= width or "_" not in name:
        return name
    cut = min((i for i, letter in enumerate(name) if letter == "_"), key=lambda i: abs(i - len(name) / 2))
    return f"{name[: cut + 1]}\n{name[cut + 1 :]}"
