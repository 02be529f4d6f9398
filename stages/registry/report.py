"""A decision for people: lines for a terminal, Markdown for a job's summary, a page. All three say the same."""

from __future__ import annotations

from pathlib import Path

from ..shared.core.files import atomic
from ..shared.core.words import count, table_row
from .decision import FOLDER, Criterion, Decision

MARKS = {"pass": "✓", "fail": "✗", "undecided": "?"}
TEMPLATE = Path(__file__).with_name("report.html.j2")
MARKDOWN, PAGE = FOLDER / "gate.md", FOLDER / "index.html"
WIDTH, HALF = 240, 120  # px of the little charts


def lines(decision: Decision) -> list[str]:
    """For a terminal."""
    name = max(len(criterion.name) for criterion in decision.criteria)
    return [
        f"{decision.verdict.upper()}: {decision.candidate.key} against {opponent(decision)}. {decision.reason}",
        *(f"  {MARKS[c.answer]} {c.name:{name}}  {c.sentence}" for c in decision.criteria),
        f"  judged by {judged(decision)}",
        *(f"  note: {note}" for note in decision.notes),
    ]


def opponent(decision: Decision) -> str:
    """The champion in a few words."""
    champion = decision.champion
    return f"{champion.key} (version {champion.version})" if champion else "floors alone, since there is no champion"


def judged(decision: Decision) -> str:
    counts = decision.judged
    patients = count(counts["patients"], "patient")
    return f"{count(counts['images'], 'test image')} of {patients}, {counts['positives']} with the disease"


def markdown(decision: Decision) -> str:
    rows = [table_row(f"{MARKS[c.answer]} {c.answer}", c.name, c.sentence) for c in decision.criteria]
    return "\n".join(
        [
            f"## Gate: {decision.verdict}",
            "",
            f"**{decision.candidate.key}** against **{opponent(decision)}**, judged by {judged(decision)}. "
            f"{decision.reason}",
            "",
            "| | question | answer |",
            "|---|---|---|",
            *rows,
            "",
            *(f"- {note}" for note in decision.notes),
            "",
        ]
    )


def page(decision: Decision) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    charts = {c.name: chart(c) for c in decision.criteria if c.difference is not None}
    return template.render(
        decision=decision, marks=MARKS, opponent=opponent(decision), judged=judged(decision), charts=charts
    )


def chart(criterion: Criterion) -> dict[str, float] | None:
    """Places in px of an interval, its value, zero and the bound, on a scale that is symmetric around zero. None where
    an end is not known."""
    own, bound = criterion.difference, criterion.bound
    if own is None or own.value is None or own.low is None or own.high is None or bound is None:
        return None
    reach = 1.15 * max(abs(own.low), abs(own.high), abs(bound), 1e-6)
    places = {"low": own.low, "value": own.value, "high": own.high, "bound": bound, "zero": 0.0}
    return {name: round(HALF + HALF * place / reach, 1) for name, place in places.items()}


def write(decision: Decision) -> None:
    """gate.json, gate.md, index.html."""
    decision.write()
    for path, text in ((MARKDOWN, markdown(decision)), (PAGE, page(decision))):
        with atomic(path) as partial:
            partial.write_text(text, encoding="utf-8")
