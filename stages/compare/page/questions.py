"""The answers to the questions about groups of models, in words."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ...shared.core.words import listed
from ..numbers.comparison import Study
from ..numbers.questions import QUESTIONS, Question
from ..text import count, number, signed, signed_span


@dataclass(frozen=True)
class Answer:
    name: str
    title: str
    sentence: str


def questions(study: Study) -> list[Answer]:
    """Those that the matrix has the runs for."""
    every = [(question, study.questions[study.questions["question"] == question.name]) for question in QUESTIONS]
    return [Answer(q.name, q.title, sentence(q, rows, study)) for q, rows in every if len(rows)]


def sentence(question: Question, rows: pd.DataFrame, study: Study) -> str:
    """The mean over all lines, then which single lines show a difference, then what it costs in training time."""
    own, label = rows.iloc[-1], study.measure.label
    single = rows[rows["within"] != "all"]
    seeds = f"{own['seeds']} seeds" if own["seeds"] > 1 else "one seed"
    over = f"the mean over {count(len(single))} comparisons, " if len(single) > 1 else ""
    lead = {
        "better": f"{question.a} models are better than {question.b} models",
        "worse": f"{question.a} models are worse than {question.b} models",
        "not shown to differ": f"{question.a} models are not shown to differ from {question.b} models",
    }[own["verdict"]]
    text = (
        f"{lead[0].upper()}{lead[1:]}: {over}{label} {signed(own['difference'])} "
        f"[{signed_span(own['low'], own['high'])}], {seeds}."
    )
    if len(single) > 1:
        text += _single(single)
    if own["time_ratio"] == own["time_ratio"]:
        text += f" They took {number(own['time_ratio'], 2)} times the training time."
    if own["seeds"] == 1:
        text += " Each was trained once: this is about these models."
    return text


def _single(rows: pd.DataFrame) -> str:
    parts = []
    for verdict in ("better", "worse"):
        names = [f"{row.within}, {row.sample}" for row in rows[rows["verdict"] == verdict].itertuples()]
        if names:
            shown = listed(names) if len(names) <= 3 else f"{len(names)} of {len(rows)} lines"
            parts.append(f"{verdict} with {shown}")
    if not parts:
        return " No single comparison shows a difference."
    return f" On their own, they are shown to be {'; '.join(parts)}."
