"""A figure as SVG for the page: its text is text, and its colours follow the reader's light or dark theme."""

from __future__ import annotations

import io
import re
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...shared.figures import style

ROLES = {style.INK: "var(--ink)", style.MUTED: "var(--muted)", style.GRID: "var(--line)", style.PAPER: "transparent"}


FIGURE_COLOURS = {role[4:-1]: colour for colour, role in ROLES.items() if role.startswith("var")} | {
    "--sans": "DejaVu Sans, sans-serif"
}
"""Of a figure that leaves the page: what its variables stand for on white paper."""


class Svg(NamedTuple):
    """What stands inside of an <svg> element, and its size; `plot` in macros.j2 writes the element. `axes`: what it
    takes to read values off its lines (reading.js); empty without lines."""

    width: float  # points
    height: float
    content: Markup
    axes: list[dict[str, Any]]


def svg(fig: Figure, name: str) -> Svg:
    """`name` keeps the ids of several figures on one page apart."""
    readable = name_lines(fig)
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    fig.set_layout_engine(None)  # laid out now: any engine, even "none", would draw the PNG of this figure twice
    content = re.sub(r"^.*?<svg[^>]*>|<metadata>.*?</metadata>|</svg>\s*$", "", buffer.getvalue(), flags=re.S)
    content = re.sub(r'(<image\b[^>]*?) id="[^"]*"', r"\g<1>", content)  # equal images would have the same one
    content = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{name}-", content).replace("xlink:href", "href")
    content = re.sub(r"#[0-9a-f]{6}\b", lambda hit: ROLES.get(hit[0]) or f"var(--c{hit[0][1:]}, {hit[0]})", content)
    content = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--sans)", content)
    width, height = 72 * fig.get_size_inches()  # an SVG has 72 points per inch
    axes = [scale_of(ax, lines, name, float(width), float(height)) for ax, lines in readable]
    return Svg(float(width), float(height), Markup(content), axes)


def name_lines(fig: Figure) -> list[tuple[Axes, list[Line2D]]]:
    """Axes of numbers with the lines that have a label, which get an id in the file. One that has an id keeps it: it
    ends in the key of a model."""
    found = []
    for i, ax in enumerate(fig.axes):
        named = [line for line in ax.lines if not str(line.get_label()).startswith("_")]
        lines = [line for line in named if np.size(line.get_xdata()) > 1 and line.get_visible()]
        for j, line in enumerate(lines):
            if line.get_gid() is None:
                line.set_gid(f"line-{i}-{j}")
        if lines and ax.get_visible() and {ax.get_xscale(), ax.get_yscale()} <= {"linear", "log"}:
            found.append((ax, lines))
    return found


def scale_of(ax: Axes, lines: list[Line2D], name: str, width: float, height: float) -> dict[str, Any]:
    """box: left, top, width and height in points. x, y: the values at its ends, whether they are logarithmic or whole,
    and what they are called. lines: id in the page, label."""
    box = ax.get_position()
    whole = all(np.all(np.mod(np.asarray(line.get_xdata(), float), 1) == 0) for line in lines)
    below = ax.get_xlabel() or (ax.figure.get_supxlabel() if isinstance(ax.figure, Figure) else "")
    return {
        "box": [round(v, 2) for v in (box.x0 * width, (1 - box.y1) * height, box.width * width, box.height * height)],
        "x": {**_ends(ax.get_xlim()), "log": ax.get_xscale() == "log", "whole": whole, "name": _bare(below)},
        "y": {**_ends(ax.get_ylim()), "log": ax.get_yscale() == "log", "name": _bare(ax.get_ylabel())},
        "lines": [
            {"id": f"{name}-{line.get_gid()}", "name": " ".join(str(line.get_label()).split())} for line in lines
        ],
    }


def _ends(limits: tuple[float, float]) -> dict[str, float]:
    return {"low": float(limits[0]), "high": float(limits[1])}


def _bare(label: str) -> str:
    """The name of an axis without what stands in brackets or behind a comma."""
    return re.split(r"[(,]", label.replace("\n", " "))[0].strip()
