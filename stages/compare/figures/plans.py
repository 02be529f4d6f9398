"""Small multiples of who learned when, and how fast: one panel per backbone and strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ...shared.figures import rates
from ...shared.figures.style import figure
from ..read import Member
from .style import Look

LIMIT = 40  # panels; each model's own picture is in reports/train/<key>/
ACROSS = 6  # panels in one line


def shown(board: pd.DataFrame, members: Mapping[str, Member]) -> dict[tuple[str, str], pd.DataFrame]:
    """(backbone, strategy) -> its plan. Of several samples, the one that trained longest, the highest-ranked of equals:
    they share the plan and differ in when they stopped."""
    plans: dict[tuple[str, str], pd.DataFrame] = {}
    for row in board.itertuples():
        plan = members[row.key].plan
        known = plans.get((row.backbone, row.strategy))
        if known is None or len(plan) > len(known):
            plans[row.backbone, row.strategy] = plan
    return plans


def lines(look: Look, plans: Mapping[tuple[str, str], pd.DataFrame]) -> list[tuple[str, list[str | None]]]:
    """(backbone, strategies) of each line of panels, strategies in columns; None: an empty place."""
    count = -(-len(look.strategies) // ACROSS)
    across = -(-len(look.strategies) // count)
    found = []
    for backbone in look.backbones:
        for start in range(0, len(look.strategies), across):
            names = [s if (backbone, s) in plans else None for s in look.strategies[start : start + across]]
            found.append((backbone, names + [None] * (across - len(names))))
    return [line for line in found if any(line[1])][: max(LIMIT // across, 1)]


def plans(board: pd.DataFrame, members: Mapping[str, Member]) -> Figure:
    """Rows: backbones, columns: strategies; one colour scale. At most LIMIT panels, those of the best backbones."""
    look, tables = Look(board), shown(board, members)
    laid = lines(look, tables)
    grids = {pair: rates.grid(table) for pair, table in tables.items()}
    norm = rates.scale([tables[b, s] for b, names in laid for s in names if s])
    tall = [max(len(grids[b, s]) for s in names if s) + 2.6 for b, names in laid]
    across = len(laid[0][1])
    height = 0.75 + 0.15 * sum(tall)
    fig, axes = figure(1.0 + (1.75 if across < 5 else 1.5) * across, height, len(laid), across, height_ratios=tall)
    for y, (backbone, names) in enumerate(laid):
        line(axes[y], names, backbone, grids, norm)
        if len(look.backbones) > 1:
            axes[y, 0].set_ylabel(backbone, fontweight="bold")
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
    shrink = min(0.9, 2.6 / fig.get_figwidth())
    rates.legend(fig, axes, norm, location="top", anchor=(0.0, 0.5), shrink=shrink, aspect=22, pad=0.2 / height)
    return fig


def left_out(board: pd.DataFrame, members: Mapping[str, Member]) -> int:
    """How many plans the figure has no room for."""
    tables = shown(board, members)
    return len(tables) - sum(name is not None for _, names in lines(Look(board), tables) for name in names)


def line(
    axes: Sequence[Axes],
    names: Sequence[str | None],
    backbone: str,
    grids: Mapping[tuple[str, str], pd.DataFrame],
    norm: Normalize,
) -> None:
    """The panels of one backbone; the first names its blocks."""
    first = next(i for i, name in enumerate(names) if name)
    for i, (ax, name) in enumerate(zip(axes, names, strict=True)):
        if name is None:
            ax.set_axis_off()
            continue
        rates.draw(ax, grids[backbone, name], norm)
        ax.set_title(broken(name, 24 if len(axes) < 5 else 20), fontsize=8)
        if i != first:
            ax.tick_params(axis="y", labelleft=False)


def broken(name: str, width: int) -> str:
    """A long name in two lines, at the underscore nearest to its middle."""
    if len(name) <= width or "_" not in name:
        return name
    cut = min((i for i, letter in enumerate(name) if letter == "_"), key=lambda i: abs(i - len(name) / 2))
    return f"{name[: cut + 1]}\n{name[cut + 1 :]}"
