"""What the numbers say, in sentences that claim no more than the intervals allow.

With repeats (`seeds` above 1) a sentence is about a strategy. Without them it is about the models of this one study:
another training run of the same strategy may give another result. The columns `value…` of the tables are of the metric
that decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd

from ...shared.core.words import listed
from ...shared.measures.measure import Measure
from ..numbers.board import best_on_validation
from ..numbers.repeats import several_sizes
from ..read import Floor
from ..text import level, number, signed, signed_span, span

LEAD = {"better": "is better than", "worse": "is worse than", "not shown to differ": "is not shown to differ from"}
ANSWER = {"better": "yes, better", "worse": "no, worse", "not shown to differ": "not shown to differ"}
ONE_RUN = {
    "better": "the {} model is better than the {} model",
    "worse": "the {} model is worse than the {} model",
    "not shown to differ": "the {} model is not shown to differ from the {} model",
}


def question(picks: pd.DataFrame, baseline: str) -> str:
    if picks.empty or picks["seeds"].max() == 1:
        return "Which of these models reads the images best?"
    help_of = "Does transfer help" if baseline == "from_scratch" else f"Is another strategy better than {baseline}"
    return help_of + (", and with how few images?" if several_sizes(picks["train_images"]) else "?")


def chosen(contrasts: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Per sample, fewest images first, the strategy that is best on the *validation* split: choosing it on the test
    split would flatter it. None for a sample without any validation value."""
    if contrasts.empty:
        return contrasts
    values = contrasts.dropna(subset="val_value").groupby("sample", sort=False)["val_value"]
    best = values.idxmax() if measure.higher_is_better else values.idxmin()
    return contrasts.loc[best].sort_values("train_images", kind="stable")


def verdict(picks: pd.DataFrame, baseline: str, measure: Measure, several_backbones: bool = False) -> str:
    """The answer under the heading: one sentence per number of training images. Where that does not tell two of them
    apart, as with folds, each has its name as well."""
    sentences: list[str] = []
    counts = sorted(picks["train_images"]) if len(picks) else []
    named = any(not several_sizes(pd.Series(pair)) for pair in pairwise(counts))
    for row in picks.itertuples():
        backbone = f"{row.backbone} " if several_backbones else ""
        if row.seeds > 1:
            change = f"{measure.label} {signed(row.difference)} [{signed_span(row.low, row.high)}]"
            answer = f"{ANSWER[row.verdict]}: {change} with {backbone}{row.strategy}"
        else:
            answer = ONE_RUN[row.verdict].format(backbone + row.strategy, backbone + baseline)
        images = f"{row.train_images:,.0f}{'' if sentences else ' training images'}"
        sentences.append(f"With {images}{f' ({row.sample})' if named else ''}, {answer}.")
    single = picks[picks["seeds"] == 1] if len(picks) else picks
    if len(single):
        once = (single[["runs", "baseline_runs"]] == 1).all(axis=None)
        where = "" if len(single) == len(picks) else "where there is no range, "
        caution = where + ("each model was trained once" if once else "two trained models are compared")
        sentences.append(f"{caution[0].upper()}{caution[1:]}: another run may give another result.")
    return " ".join(sentences)


def findings(
    picks: pd.DataFrame, board: pd.DataFrame, baseline: str, images: int, means: pd.DataFrame, measure: Measure,
    luck: str = "",
) -> list[tuple[str, str]]:  # fmt: skip
    """(heading, text): one per number of training images, then the model that validation chose and the top of the
    leaderboard, with the `luck` of its first row. `means`: empty without repeats."""
    coverage, answers = level(board.confidence[0]), []
    for row in picks.itertuples():
        seeds = f"; {row.seeds} seeds" if row.seeds > 1 else ""
        answer = _contrast(row, baseline, images, coverage, measure.label)
        answers.append((f"{row.train_images:,.0f} training images ({row.sample}{seeds})", answer))
    row = best_on_validation(board)
    if row is not None and len(board) > 1:
        answers.append(("Chosen on validation", choice(row, board, measure)))
    best_mean = "" if means.empty else top_mean(means.iloc[0])
    return [*answers, ("First on the test images", top(board, measure) + luck + best_mean)]


def _contrast(row: Any, baseline: str, images: int, coverage: str, label: str) -> str:
    values = f"{number(row.value)} [{span(row.value_low, row.value_high)}]"
    values += f", {baseline} {number(row.baseline_value)} [{span(row.baseline_low, row.baseline_high)}]"
    known = not isnan(row.low)
    interval = f"{coverage} interval {signed_span(row.low, row.high)}" if known else "without an interval"
    difference = f"{signed(row.difference)}, {interval}"
    if row.seeds > 1:
        apart = f" {images:,} test images and {row.seeds} seeds are too few to show a difference, if there is one."
        return (
            f"{row.strategy} ({row.backbone}) {LEAD[row.verdict]} {baseline}: {difference}. "
            f"It reaches a mean test {label} of {values}."
            f"{apart if row.verdict == 'not shown to differ' else ''}"
        )
    end = (
        ""
        if not known
        else ", which includes zero"
        if row.verdict == "not shown to differ"
        else ", which excludes zero"
    )
    return (
        f"Of the models compared with {baseline}, {row.strategy} ({row.backbone}) is the best on validation. "
        f"It reaches a test {label} of {values}. The difference is {difference}{end}. "
        f"This is about these two models, not about the two strategies: {_why_not(row, baseline)}."
    )


def _why_not(row: Any, baseline: str) -> str:
    """Why a contrast says nothing about two strategies."""
    if row.runs == row.baseline_runs == 1:
        return "each was trained once"
    if row.baseline_runs == 1:
        return f"{baseline} was trained once"
    return f"{row.strategy} was trained once" if row.runs == 1 else "they have only one seed in common"


def choice(row: pd.Series, board: pd.DataFrame, measure: Measure) -> str:
    value = f"{number(row.value)} [{span(row.value_low, row.value_high)}]"
    neighbours = " rows, those of neighbours included" if (board.kind != "model").any() else ""
    return (
        f"{row.key} has the best validation {measure.label}, {number(row.val_value)}. On the test images, which had no "
        f"part in that choice, it reaches {value}: place {row['rank']} of {len(board)}{neighbours}.{_one_class(row)}"
    )


def top(board: pd.DataFrame, measure: Measure) -> str:
    """On the first row: how many others may be as good, and a warning where it may be no better than a guess. A
    row of neighbours is no model: where one is first, the first model is named too."""
    first, others, kind = board.iloc[0], len(board) - 1, "row" if (board.kind != "model").any() else "model"
    if isnan(first.value):
        return f"The test {measure.label} is not defined for any model, so no model is first."
    ties = int(board.tie.iloc[1:].sum())
    lead = f"{first.key} {'leads with' if others else 'has'} a test {measure.label} of {number(first.value)}"
    if not others:
        rest = f"it is the only {kind} here"
    elif ties == 0:
        rest = f"the interval of its difference to every other {kind} excludes zero"
    elif ties == others:
        rest = f"but no other {kind} is shown to differ from it on these images"
    else:
        are = "is" if ties == 1 else "are"
        rest = f"but {ties} of the {others} other {kind}s {are} not shown to differ from it on these images"
    text, chance = f"{lead} [{span(first.value_low, first.value_high)}], {rest}.{_first_model(board)}", measure.chance
    if isnan(first.value_low):
        return text + _one_class(first)
    if chance is not None and (first.value_high < chance if measure.higher_is_better else first.value_low > chance):
        text += f" The whole interval is worse than {chance:g}, the {measure.label} of a model that guesses."
    elif chance is not None and not (
        first.value_low > chance if measure.higher_is_better else first.value_high < chance
    ):
        text += f" Its interval includes {chance:g}, the {measure.label} of a model that guesses."
    return text + _one_class(first)


def _first_model(board: pd.DataFrame) -> str:
    """Where a row of neighbours is the first."""
    if board.kind.iloc[0] == "model":
        return ""
    model = board[board.kind == "model"].iloc[0]
    return (
        " That row is a vote of neighbours in the features of a model, and cannot be chosen. The first model is "
        f"{model.key}, place {model['rank']}, with {number(model.value)} "
        f"[{span(model.value_low, model.value_high)}]."
    )


def against_floor(board: pd.DataFrame, above: pd.DataFrame, floor: Floor | None, measure: Measure, metric: str) -> str:
    """How many models are shown to be better than the best prediction without a network. `board`: of models alone."""
    if floor is None:
        return ""
    value = (
        f"{number(floor.value('test', metric))} [{span(*(floor.value('test', metric, e) for e in ('low', 'high')))}]"
    )
    verdicts = above.loc[board["key"], "verdict"]
    about = (
        f"Without a network, {floor.about['title']} ({floor.about['about']}) reaches a test {measure.label} of "
        f"{value}. {_above(verdicts)}."
    )
    if (verdicts == "better").all():
        return about
    return f"{about} A model that is not shown to be better gives no reason to use a network."


def floor_headline(board: pd.DataFrame, above: pd.DataFrame, floor: Floor | None, measure: Measure, metric: str) -> str:
    """The same for the first screen."""
    if floor is None:
        return ""
    value = number(floor.value("test", metric))
    counts = _above(above.loc[board["key"], "verdict"])
    return f"Without a network, {floor.about['title']} reaches {measure.label} {value}. {counts}."


def _above(verdicts: pd.Series) -> str:
    better, worse, models = int((verdicts == "better").sum()), int((verdicts == "worse").sum()), len(verdicts)
    if better == models:
        return "The model is shown to be better" if models == 1 else f"All {models} models are shown to be better"
    shown = f"{better} of {models} models {'is' if better == 1 else 'are'}" if better else "No model is"
    rest = f", and {worse} {'is' if worse == 1 else 'are'} shown to be worse" if worse else ""
    return f"{shown} shown to be better{rest}"


def _one_class(row: Any) -> str:
    """A warning about a model that predicts the same class for nearly every test image."""
    if not isinstance(row.one_class, str):
        return ""
    return (
        f" It predicts “{row.one_class}” for {level(round(row.one_class_share, 3))} of the test images: it can rank "
        "images, but its predictions cannot be used as they are."
    )


def top_mean(first: Any) -> str:
    """A sentence to follow the one on the top of the leaderboard."""
    over = f" over {first.seeds} seeds" if first.seeds > 1 else ", of one seed"
    return (
        f" Of the means, the best is {number(first.value)} [{span(first.value_low, first.value_high)}]"
        f"{over}: {first.strategy} of {first.backbone} with {first['sample']}."
    )


def seeds(means: pd.DataFrame) -> str:
    """How many repeats a size has: "3", or "2 to 3" where they differ."""
    fewest, most = means["seeds"].min(), means["seeds"].max()
    return f"{most}" if fewest == most else f"{fewest} to {most}"


def shortcuts(numbers: Mapping[str, Any]) -> str:
    """A warning that opens the page; empty without one."""
    flags = [m for m in numbers["meters"] if m["flag"]]
    if not flags:
        return ""
    highest = max(flags, key=lambda m: m["auroc"])
    names = listed([m["title"].lower() for m in flags])
    interval = span(highest["low"], highest["high"])
    return (
        f"Possible shortcut: the label can be told from the {names}, without the disease (AUROC up to "
        f"{number(highest['auroc'])} [{interval}]). A model may have learned that instead, and fail elsewhere."
    )


def notices(validation: Mapping[str, Any], board: pd.DataFrame, starts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What a reader has to know before the first number. `starts`: what is known of each file of pretrained weights."""
    sentences = []
    phantom = validation.get("phantom")
    if phantom:
        sentences.append("These images are synthetic: a program drew them. The scores say nothing about real patients.")
    for name, facts in starts.items():
        classes, own = facts.get("classes"), set((phantom or {}).get("findings", ()))
        if not classes:
            continue
        shared = [label for label in classes if label in own]
        text = f"The pretrained weights {Path(name).name} were trained to tell {listed(classes)} apart"
        if facts.get("source") == "phantom":
            text += f", on {'other images drawn by the same program' if phantom else 'images that a program drew'}"
        if shared:
            text += f"; {listed(shared)} {'is a finding' if len(shared) == 1 else 'are findings'} of this study as well"
        sentences.append(text + ".")
    if validation.get("patients_known") is False:
        sentences.append(
            "Patients are unknown, so every image counts as a patient of its own. If patients have several images, the "
            "scores may be too high and the intervals too narrow."
        )
    if one_class := int(board.one_class.notna().sum()):
        text = (
            f"{one_class} of {len(board)} models predict{'s' * (one_class == 1)} one class for nearly all test images"
        )
        if isinstance(board.one_class[0], str):
            text += f"; the first of the leaderboard is one of them (“{board.one_class[0]}”)"
        sentences.append(text + ".")
    return sentences
