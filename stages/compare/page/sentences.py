"""What the numbers say, in sentences that claim no more than the intervals allow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ..figures.style import percent
from ..text import number, signed, signed_span, span

VERDICT = {"better": "yes", "worse": "no, it hurt", "undecided": "not shown"}
LEAD = {"better": "Transfer helps", "worse": "Transfer hurts", "undecided": "Not shown that transfer helps"}


def start(summary: Mapping[str, Any]) -> str:
    """What a model started from and computed in, as far as an older summary.json tells."""
    if "start" not in summary:
        return "start unknown"
    layout = "channels last" if summary["channels_last"] else "contiguous"
    return f"from {summary['start'] or 'random weights'}; {summary['precision']}, {layout}"


def question(contrasts: pd.DataFrame) -> str:
    if contrasts.empty:
        return "Which model reads these images best?"
    few = contrasts["train_images"].nunique() > 1
    return "Does transfer help, and with how few images?" if few else "Does transfer help?"


def chosen(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Per sample, fewest images first, the strategy with the best *validation* AUROC: choosing it on the test split
    would flatter it."""
    if contrasts.empty:
        return contrasts
    best = contrasts.groupby("sample", sort=False)["val_value"].idxmax().dropna()
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
    picks: pd.DataFrame, board: pd.DataFrame, baseline: str, images: int, means: pd.DataFrame
) -> list[tuple[str, str]]:
    """(heading, text): one per size, then one on the top of the leaderboard. `means`: empty without repeats."""
    told = [(_size(row), _contrast(row, baseline, images, percent(board))) for row in picks.itertuples()]
    return [*told, ("The leaderboard", top(board) + top_mean(means))]


def _size(row: object) -> str:
    return f"{row.train_images:,.0f} training images ({row.sample}{f'; {row.seeds} seeds' if row.seeds > 1 else ''})"


def _contrast(row: object, baseline: str, images: int, level: str) -> str:
    ends = {
        "better": "which excludes zero.",
        "worse": "which excludes zero: transfer did harm.",
        "undecided": f"which includes zero: {images:,} test images cannot tell the two apart.",
    }
    if row.seeds > 1:
        return _contrast_of_means(row, baseline, images, level)
    return (
        f"{row.strategy} of {row.backbone}, the best on validation, reaches a test AUROC of {number(row.value)} "
        f"[{span(row.value_low, row.value_high)}], {baseline} {number(row.baseline_value)} "
        f"[{span(row.baseline_low, row.baseline_high)}]. The difference is {signed(row.difference)} with a {level} "
        f"interval of {signed_span(row.low, row.high)}, {ends[row.verdict]}"
    )


def _contrast_of_means(row: object, baseline: str, images: int, level: str) -> str:
    held = f" {images:,} test images and {row.seeds} seeds cannot tell the two apart."
    return (
        f"{LEAD[row.verdict]}: {signed(row.difference)}, {level} interval {signed_span(row.low, row.high)}. "
        f"{row.strategy} of {row.backbone} reaches a mean test AUROC of {number(row.value)} "
        f"[{span(row.value_low, row.value_high)}], {baseline} {number(row.baseline_value)} "
        f"[{span(row.baseline_low, row.baseline_high)}].{held if row.verdict == 'undecided' else ''}"
    )


def top(board: pd.DataFrame) -> str:
    first, others = board.iloc[0], len(board) - 1
    ties = int(board.tie.iloc[1:].sum())
    lead = f"{first.key} {'leads with' if others else 'has'} an AUROC of {number(first.value)}"
    chance = " Its interval holds 0.5, the AUROC of a coin." if first.value_low <= 0.5 else ""
    if not others:
        told = "it is the only model here"
    elif ties == 0:
        told = "the interval of its difference to every other model excludes zero"
    elif ties == others:
        told = "but no other model can be told apart from it on these images"
    else:
        told = f"but {ties} of the {others} other models cannot be told apart from it on these images"
    return f"{lead} [{span(first.value_low, first.value_high)}], {told}.{chance}"


def top_mean(means: pd.DataFrame) -> str:
    """A sentence to go after that on the top of the leaderboard."""
    if means.empty:
        return ""
    first = means.iloc[0]
    over = f" over {first.seeds} seeds" if first.seeds > 1 else ", of one seed"
    return (
        f" Seeds put aside, the highest mean is {number(first.value)} [{span(first.value_low, first.value_high)}]"
        f"{over}: {first.strategy} of {first.backbone} with {first['sample']}."
    )


def seeds(means: pd.DataFrame) -> str:
    """How many repeats a size has: "3", or "2 to 3" where they differ."""
    fewest, most = means["seeds"].min(), means["seeds"].max()
    return f"{most}" if fewest == most else f"{fewest} to {most}"
