"""A figure as SVG for the page: its text is text, and its colours follow the reader's light or dark theme."""

from __future__ import annotations

import io
import re
from typing import NamedTuple

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from ...shared.figures import style

ROLES = {style.INK: "var(--ink)", style.MUTED: "var(--muted)", style.GRID: "var(--line)", style.PAPER: "transparent"}


class Svg(NamedTuple):
    """What stands inside of an <svg> element, and its size; `plot` in macros.j2 writes the element."""

    width: float  # points
    height: float
    content: Markup


def svg(fig: Figure, name: str) -> Svg:
    """`name` keeps the ids of several figures on one page apart."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    fig.set_layout_engine("none")  # laid out now; the PNG of the same figure need not do it again
    content = re.sub(r"^.*?<svg[^>]*>|<metadata>.*?</metadata>|</svg>\s*$", "", buffer.getvalue(), flags=re.S)
    content = re.sub(r'(<image\b[^>]*?) id="[^"]*"', r"\g<1>", content)  # equal images would have the same one
    content = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{name}-", content).replace("xlink:href", "href")
    content = re.sub(r"#[0-9a-f]{6}\b", lambda hit: ROLES.get(hit[0]) or f"var(--c{hit[0][1:]}, {hit[0]})", content)
    content = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--sans)", content)
    width, height = 72 * fig.get_size_inches()  # an SVG has 72 points per inch
    return Svg(float(width), float(height), Markup(content))
