"""Slides: the question, the answers, one figure a slide, the data, what is left open."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pptx
from pptx.dml.color import RGBColor
from pptx.enum.text import PP_ALIGN
from pptx.presentation import Presentation
from pptx.slide import Slide
from pptx.util import Emu, Inches, Pt

from ...shared.figures.style import GOOD, INK, MUTED
from ..numbers.comparison import Study
from ..page.story import Story
from ..text import count, number, span
from . import captions
from .facts import Fact

WIDTH, HEIGHT, MARGIN = Inches(13.333), Inches(7.5), Inches(0.6)
INNER = Emu(WIDTH - 2 * MARGIN)
TEXTS = {  # slides that say facts
    "Data": ("flow", "partition", "disjoint", "characteristics", "preprocessing"),
    "Methods and limits": ("output", "intervals", "comparisons", "paired", "selection", "external"),
}
ROWS = 12  # of the leaderboard
EPOCH = (1980, 1, 1, 0, 0, 0)  # of every part of the file: the same study gives the same bytes


def write(
    path: Path,
    study: Study,
    story: Story,
    pictures: Mapping[str, Path],
    facts: Mapping[str, Fact],
    checklists: Sequence[str],
) -> None:
    """`pictures`: the figures as PNG, by name. `checklists`: how far each is filled, in words."""
    deck = pptx.Presentation()
    deck.slide_width, deck.slide_height = WIDTH, HEIGHT
    first = _slide(deck, story.title, size=40)
    _text(first, [story.verdict], 2.2, size=24, colour=GOOD)
    _text(
        first,
        [text for text in (story.warning, *story.notices) if text] + [facts["use"].text],
        4.6,
        size=14,
        colour=MUTED,
    )
    for k in range(0, len(story.findings), 3):
        slide = _slide(deck, "Answers" if k == 0 else "Answers, continued")
        _text(slide, [f"{heading}: {text}" for heading, text in story.findings[k : k + 3]], 1.3, size=18)
    for name in captions.ordered(list(pictures)):
        slide = _slide(deck, captions.title(name, study))
        _picture(slide, pictures[name], captions.title(name, study))
    _table(_slide(deck, "Leaderboard"), study)
    for title, names in TEXTS.items():
        _text(_slide(deck, title), [facts[name].text for name in names if name in facts], 1.3, size=18)
    open_points = (
        "What only the authors can say stands in both files as open, the source of the images and of the labels first."
    )
    _text(_slide(deck, "Checklists"), [*checklists, open_points], 1.3, size=18)
    path.write_bytes(dateless(deck))


def _slide(deck: Presentation, title: str, size: int = 28) -> Slide:
    slide: Slide = deck.slides.add_slide(deck.slide_layouts[5])  # its title is one: readers' software finds it
    shape = slide.shapes.title
    assert shape is not None  # the layout has one
    shape.left, shape.top, shape.width = MARGIN, Inches(0.35), INNER
    shape.height = Inches(0.9 if size < 40 else 1.7)
    frame = shape.text_frame
    frame.word_wrap, frame.text = True, title
    _style(frame.paragraphs[0], size, INK, bold=True)
    frame.paragraphs[0].alignment = PP_ALIGN.LEFT
    return slide


def _text(slide: Slide, paragraphs: Sequence[str], top: float, size: int, colour: str = INK) -> None:
    box = slide.shapes.add_textbox(MARGIN, Inches(top), INNER, Emu(HEIGHT - Inches(top) - MARGIN))
    frame = box.text_frame
    frame.word_wrap = True
    for k, text in enumerate(paragraphs):
        paragraph = frame.paragraphs[0] if k == 0 else frame.add_paragraph()
        paragraph.text, paragraph.space_after = text, Pt(10)
        _style(paragraph, size, colour)


def _style(paragraph: object, size: int, colour: str, bold: bool = False) -> None:
    font = paragraph.font  # type: ignore[attr-defined]
    font.size, font.bold = Pt(size), bold
    font.color.rgb = RGBColor(*bytes.fromhex(colour[1:]))  # type: ignore[no-untyped-call]


def _picture(slide: Slide, path: Path, about: str) -> None:
    """As large as the slide below its title allows, in the middle."""
    picture = slide.shapes.add_picture(str(path), Emu(0), Emu(0))
    room = INNER, HEIGHT - Inches(1.4) - Inches(0.3)
    scale = min(room[0] / picture.width, room[1] / picture.height)
    picture.width, picture.height = Emu(int(picture.width * scale)), Emu(int(picture.height * scale))
    picture.left, picture.top = (
        Emu((WIDTH - picture.width) // 2),
        Emu(int(Inches(1.4) + (room[1] - picture.height) // 2)),
    )
    picture._element.nvPicPr.cNvPr.set("descr", about)  # type: ignore[union-attr]


def _table(slide: Slide, study: Study) -> None:
    shown = study.models.head(ROWS)
    names = [name for name, measure in study.task.metrics.items() if measure.headline]
    heads = ["#", "Model", *(study.task.metrics[name].label for name in names), "Training images"]
    shape = slide.shapes.add_table(len(shown) + 1, len(heads), MARGIN, Inches(1.35), INNER, Inches(0.3))
    rows = [heads]
    for row in shown.to_dict("records"):
        values = [f"{number(row[n])} [{span(row[f'{n}_low'], row[f'{n}_high'])}]" for n in names]
        name = row["key"] + (" (chosen)" if row["chosen"] else "")
        rows.append([str(row["rank"]), name, *values, count(row["train_images"])])
    widths = [0.5, 4.0, *[(12.1 - 0.5 - 4.0 - 1.3) / len(names)] * len(names), 1.3]
    for k, width in enumerate(widths):
        shape.table.columns[k].width = Inches(width)
    for y, cells in enumerate(rows):
        for x, text in enumerate(cells):
            cell = shape.table.cell(y, x)
            cell.text = text
            _style(cell.text_frame.paragraphs[0], 12, "#FFFFFF" if y == 0 else INK, bold=y == 0)


def dateless(deck: Presentation) -> bytes:
    """The file without the times at which its parts were written."""
    written, out = io.BytesIO(), io.BytesIO()
    deck.save(written)
    with zipfile.ZipFile(written) as parts, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for part in parts.infolist():
            target.writestr(zipfile.ZipInfo(part.filename, EPOCH), parts.read(part), zipfile.ZIP_DEFLATED)
    return out.getvalue()
