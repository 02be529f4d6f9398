"""A figure as SVG for the page: its text is text, and its colours follow the reader's light or dark theme."""

from __future__ import annotations

import io
import re

import matplotlib
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from ...shared.figures import style

ROLES = {style.INK: "var(--ink)", style.MUTED: "var(--muted)", style.GRID: "var(--line)", style.PAPER: "transparent"}


def svg(fig: Figure, name: str, label: str) -> Markup:
    """`name` keeps the ids of several figures on one page apart; `label` is read out in place of the figure."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    fig.set_layout_engine("none")  # laid out now; the PNG of the same figure need not do it again
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'(<image\b[^>]*?) id="[^"]*"', r"\g<1>", text)  # alike pictures would have the same one
    text = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{name}-", text).replace("xlink:href", "href")
    text = re.sub(r"#[0-9a-f]{6}\b", lambda hit: ROLES.get(hit[0]) or f"var(--c{hit[0][1:]}, {hit[0]})", text)
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--sans)", text)
    viewbox = re.search(r'viewBox="[^"]*"', text)[0]
    width = float(viewbox.split()[2])
    opening = f'<svg class="plot" role="img" aria-label="{escape(label)}" {viewbox} style="--w:{width:.0f}">'
    return Markup(re.sub(r"<svg[^>]*>", lambda _: opening, text, count=1))
