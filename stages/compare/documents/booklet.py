"""A PDF of the answers and all figures, drawn by matplotlib: no browser is needed where the pipeline runs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from ...shared.figures.style import INK, MUTED, PAPER
from ..figures.style import plain
from ..numbers.comparison import Study
from ..page.story import Story
from . import captions

WIDTH, HEIGHT = 11.69, 8.27  # inches: A4, landscape
MARGIN = 0.6
SMALLEST = 0.72  # of A4: a small figure fills its page
HEAD = 0.5  # for the title of a figure
LINES = 34  # of text on a page
FOOT = "Made by Lightbox. For research. Not a medical device, not for clinical use."


def write(path: Path, study: Study, story: Story, figures: Mapping[str, Figure], checklists: Sequence[str]) -> None:
    """`checklists`: how far each is filled, in words. Figures are laid out already."""
    with PdfPages(
        path, metadata={"CreationDate": None, "Producer": None, "Creator": "Lightbox", "Title": story.title}
    ) as pdf:
        for page in text_pages(story, checklists):
            pdf.savefig(page)
        for name in captions.ordered(list(figures)):
            add(pdf, figures[name], captions.title(name, study))


def text_pages(story: Story, checklists: Sequence[str]) -> list[Figure]:
    """The answers, and how far the checklists are filled."""
    lines: list[tuple[str, str]] = [("title", line) for line in textwrap.wrap(story.title, 60)]
    lines += [("lead", line) for line in textwrap.wrap(story.verdict, 95)]
    for notice in [story.warning, *story.notices, FOOT]:
        lines += [("note", line) for line in textwrap.wrap(notice, 120)]
    for heading, words in [*story.findings, ("Checklists", ". ".join(checklists) + ".")]:
        lines += [("", ""), ("head", heading), *(("text", line) for line in textwrap.wrap(words, 115))]
    return [_text_page(lines[k : k + LINES]) for k in range(0, len(lines), LINES)]


LOOK: dict[str, dict[str, Any]] = {
    "title": {"fontsize": 20, "fontweight": "bold"}, "lead": {"fontsize": 13}, "note": {"fontsize": 9, "color": MUTED},
    "head": {"fontsize": 11, "fontweight": "bold"}, "text": {"fontsize": 10.5}, "": {},
}  # fmt: skip
STEPS = {"title": 1.9, "lead": 1.3, "note": 1.0}


def _text_page(lines: Sequence[tuple[str, str]]) -> Figure:
    page, y = Figure(figsize=(WIDTH, HEIGHT), facecolor=PAPER), HEIGHT - MARGIN - 0.15
    for kind, text in lines:
        y -= 0.1 if kind == "head" else 0
        page.text(MARGIN / WIDTH, y / HEIGHT, plain(text), va="top", **{"color": INK, **LOOK[kind]})
        y -= 0.205 * STEPS.get(kind, 1.0)
    return page


def add(pdf: PdfPages, fig: Figure, title: str) -> None:
    """The figure in the middle of a page of A4's shape, larger or smaller than A4 as the figure is, below its title."""
    width, height = (float(side) for side in fig.get_size_inches())
    scale = max(SMALLEST, (width + 2 * MARGIN) / WIDTH, (height + 2 * MARGIN + HEAD) / HEIGHT)
    left, bottom = (scale * WIDTH - width) / 2, (scale * HEIGHT - height - HEAD) / 2
    place = ((MARGIN - left) / width, (scale * HEIGHT - MARGIN - bottom) / height)
    heading = fig.text(*place, plain(title), va="top", fontsize=14 * scale, fontweight="bold", color=INK)
    pdf.savefig(fig, bbox_inches=Bbox.from_bounds(-left, -bottom, scale * WIDTH, scale * HEIGHT))  # type: ignore[no-untyped-call]
    heading.remove()
