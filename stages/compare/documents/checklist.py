"""A reporting checklist: its items, and what the artefacts of a study answer of them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from .facts import Fact

AUTHORS = "To be answered by the authors"


@dataclass(frozen=True)
class Item:
    """One line of a checklist, its topic in our own words. `facts`: names of what the artefacts say about it, in order.
    `authors`: what only a human can say; empty where nothing is left."""

    number: str
    section: str
    topic: str
    facts: tuple[str, ...] = ()
    authors: str = ""


@dataclass(frozen=True)
class Answer:
    """An item, and what is known of it: `status` is answered, in part or open."""

    item: Item
    known: Sequence[Fact]

    @property
    def status(self) -> str:
        if not self.known:
            return "open"
        return "in part" if self.item.authors else "answered"

    @property
    def open(self) -> str:
        """What is left for the authors."""
        return self.item.authors or (self.item.topic if not self.known else "")


@dataclass(frozen=True)
class Checklist:
    """`file`: name of its items here, as CSV, and of the filled checklist, as Markdown. `source`: where the items come
    from."""

    name: str
    file: str
    source: str

    @cached_property
    def items(self) -> list[Item]:
        with (Path(__file__).parent / f"{self.file}.csv").open(encoding="utf-8", newline="") as lines:
            return [item(row) for row in csv.DictReader(lines)]


def item(row: Mapping[str, str]) -> Item:
    return Item(row["number"], row["section"], row["topic"], tuple(row["facts"].split()), row["authors"])


CLAIM = Checklist(
    "CLAIM 2024",
    "claim_2024",
    "Tejani et al., Radiology: Artificial Intelligence 2024;6(4):e240300, doi:10.1148/ryai.240300.",
)
TRIPOD = Checklist(
    "TRIPOD+AI", "tripod_ai", "Collins et al., BMJ 2024;385:e078378, doi:10.1136/bmj-2023-078378 (CC BY 4.0)."
)


def fill(checklist: Checklist, facts: Mapping[str, Fact]) -> list[Answer]:
    """A fact that this study does not have is not answered."""
    return [Answer(item, [facts[name] for name in item.facts if name in facts]) for item in checklist.items]


def counted(answers: Sequence[Answer]) -> str:
    """How far the checklist is filled, in words."""
    n = {status: sum(a.status == status for a in answers) for status in ("answered", "in part", "open")}
    return f"{n['answered']} of {len(answers)} items answered, {n['in part']} in part, {n['open']} open"


def markdown(checklist: Checklist, answers: Sequence[Answer]) -> str:
    lines = [
        f"# {checklist.name}",
        "",
        f"{counted(answers)}. Answers come from the files of this study; links lead to `reports/compare/index.html`. "
        f"Topics are in our own words: read the items themselves in {checklist.source}",
        "",
    ]
    section = ""
    for answer in answers:
        if answer.item.section != section:
            section = answer.item.section
            lines += [f"## {section}", "", "| Item | Topic | Status | Answer |", "|---|---|---|---|"]
        said = [f"{fact.text} ([{fact.place}](../index.html#{fact.place}))" for fact in answer.known]
        said += [f"**{AUTHORS}:** {answer.open}"] if answer.open else []
        cells = (answer.item.number, answer.item.topic, answer.status, " ".join(said))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        if answer is answers[-1] or answers[answers.index(answer) + 1].item.section != section:
            lines.append("")
    return "\n".join(lines)
