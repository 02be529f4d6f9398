"""What the numbers say, in sentences that claim no more than the intervals allow.

`label` is what the metric that decides is called; the columns `value…` of the tables are of that metric.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from ...shared.measures.measure import Measure
from ..text import level, number, signed, signed_span, span

VERDICT = {"better": "yes", "worse": "no, it hurt", "undecided": "not shown"}
LEAD = {"better": "Transfer helps", "worse": "Transfer hurts", "undecided": "Not shown that transfer helps"}


def question(contrasts: pd.DataFrame) -> str:
    if contrasts.empty:
        return "Which model reads these images best?"
    few = contrasts["train_images"].nunique() > 1
    return "Does transfer help, and with how few images?" if few else "Does transfer help?"


def chosen(contrasts: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Per sample, fewest images first, the strategy that is best on the *validation* split: choosing it on the test
    split would flatter it."""
    if contrasts.empty:
        return contrasts
    values = contrasts.groupby("sample", sort=False)["val_value"]
    best = (values.idxmax() if measure.higher_is_better else values.idxmin()).dropna()
    return contrasts.loc[best].sort_values("train_images", kind="stable")


def verdict(picks: pd.DataFrame) -> str:
    """One line per page, such as: With 45 training images, yes (fine_tune). With 450, not shown (fine_tune)."""
    if picks.empty:
        return ""
    sizes = [f"{n:,.0f}" for n in picks["train_images"]]
    words = [f"{VERDICT[v]} ({name})" for v, name in zip(picks["verdict"], picks["strategy"], strict=True)]
    if len(words) > 1 and len(set(words)) == 1:
        return f"{words[0].capitalize()}, with {' and with '.join(sizes)} training images."
    sizes[0] += " training images"
    return " ".join(f"With {size}, {word}." for size, word in zip(sizes, words, strict=True))


def findings(
    picks: pd.DataFrame, board: pd.DataFrame, baseline: str, images: int, means: pd.DataFrame, measure: Measure
) -> list[tuple[str, str]]:
    """(heading, text): one per size, then one on the top of the leaderboard. `means`: empty without repeats."""
    coverage, answers = level(board.confidence[0]), []
    for row in picks.itertuples():
        seeds = f"; {row.seeds} seeds" if row.seeds > 1 else ""
        answer = _contrast(row, baseline, images, coverage, measure.label)
        answers.append((f"{row.train_images:,.0f} training images ({row.sample}{seeds})", answer))
    best_mean = "" if means.empty else top_mean(means.iloc[0])
    return [*answers, ("The leaderboard", top(board, measure) + best_mean)]


def _contrast(row: Any, baseline: str, images: int, coverage: str, label: str) -> str:
    values = f"{number(row.value)} [{span(row.value_low, row.value_high)}]"
    values += f", {baseline} {number(row.baseline_value)} [{span(row.baseline_low, row.baseline_high)}]"
    if row.seeds > 1:
        apart = f" {images:,} test images and {row.seeds} seeds cannot tell the two apart."
        return (
            f"{LEAD[row.verdict]}: {signed(row.difference)}, {coverage} interval {signed_span(row.low, row.high)}. "
            f"{row.strategy} of {row.backbone} reaches a mean test {label} of {values}."
            f"{apart if row.verdict == 'undecided' else ''}"
        )
    ends = {
        "better": "which excludes zero.",
        "worse": "which excludes zero: transfer did harm.",
        "undecided": f"which includes zero: {images:,} test images cannot tell the two apart.",
    }
    return (
        f"{row.strategy} of {row.backbone}, the best on validation, reaches a test {label} of {values}. "
        f"The difference is {signed(row.difference)} with a {coverage} interval of {signed_span(row.low, row.high)}, "
        f"{ends[row.verdict]}"
    )


def top(board: pd.DataFrame, measure: Measure) -> str:
    """On the first row: how many others may be as good, and a warning where it may be no better than a guess."""
    first, others = board.iloc[0], len(board) - 1
    ties = int(board.tie.iloc[1:].sum())
    lead = f"{first.key} {'leads with' if others else 'has'} a test {measure.label} of {number(first.value)}"
    if not others:
        rest = "it is the only model here"
    elif ties == 0:
        rest = "the interval of its difference to every other model excludes zero"
    elif ties == others:
        rest = "but no other model can be told apart from it on these images"
    else:
        rest = f"but {ties} of the {others} other models cannot be told apart from it on these images"
    text, chance = f"{lead} [{span(first.value_low, first.value_high)}], {rest}.", measure.chance
    if chance is None or (first.value_low > chance if measure.higher_is_better else first.value_high < chance):
        return text
    return f"{text} Its interval includes {chance:g}, the {measure.label} of a model that guesses."


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
