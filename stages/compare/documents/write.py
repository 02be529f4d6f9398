"""Writes reports/compare/documents/."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from ...shared.core.files import atomic
from ..numbers.comparison import Study
from ..page.story import Story, tell
from . import booklet, deck
from .cards import card
from .checklist import CLAIM, TRIPOD, Answer, Checklist, counted, fill, markdown
from .facts import facts_of
from .references import bibtex


def filled_checklists(study: Study, story: Story) -> list[tuple[Checklist, list[Answer]]]:
    facts = facts_of(study, story)
    return [(checklist, fill(checklist, facts)) for checklist in (CLAIM, TRIPOD)]


def write(folder: Path, study: Study, figures: Mapping[str, Figure], pictures: Mapping[str, Path]) -> None:
    """`figures`: laid out. `pictures`: the same as PNG, by name. Without `documents` in params the folder is empty: DVC
    expects it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if not study.params.documents:
        return
    story = tell(study)
    facts = facts_of(study, story)
    checklists = filled_checklists(study, story)
    filled = [f"{checklist.name}: {counted(answers)}" for checklist, answers in checklists]
    texts = {f"{checklist.file}.md": markdown(checklist, answers) for checklist, answers in checklists}
    texts |= {f"cards/{key}.md": card(study, study.by_key[key], facts) for key in study.shown["key"]}
    texts["methods.bib"] = bibtex(study)
    for name, text in texts.items():
        with atomic(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")
    with atomic(folder / "report.pdf") as partial:
        booklet.write(partial, study, story, figures, filled)
    with atomic(folder / "slides.pptx") as partial:
        deck.write(partial, study, story, pictures, facts, filled)
