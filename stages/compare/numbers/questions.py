"""The questions that comparisons of transfer learning ask, where the matrix has the runs: two groups of models that
differ in one thing, on what they share.

For each backbone (or strategy) and size, the mean of one group minus that of the other, for each seed that all of both
have; and their mean over all of these, the answer. The intervals are of test patients and seeds. Those of the answers
hold for all questions at once, those of the other rows for the rows of their question. With few seeds, intervals that
hold for everything at once would say nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..read import Member
from .cells import Cells
from .draws import Contrast, Draws
from .families import CNN, TRANSFORMER, family

TUNED = ("fine_tune", "progressive_unfreezing", "discriminative_lr", "linear_probe_fine_tune")


@dataclass(frozen=True)
class Question:
    """`side`: of a training, whether it belongs to group a, to group b, or to neither (None). `within`: what both share
    beside the size and the seed."""

    name: str
    title: str
    a: str
    b: str
    within: str
    side: Callable[[pd.Series], str | None]


def of_start(row: pd.Series) -> str | None:
    return "b" if row["plan"] == "from_scratch" else "a"


def of_tuning(row: pd.Series) -> str | None:
    return "a" if row["plan"] in TUNED else "b" if row["plan"] == "feature_extraction" else None


def of_family(row: pd.Series) -> str | None:
    return {CNN: "a", TRANSFORMER: "b"}.get(row["family"])


QUESTIONS = (
    Question("transfer", "Transfer or from scratch?", "pretrained", "from-scratch", "backbone", of_start),
    Question("tuning", "Fine-tuning or feature extraction?", "fine-tuned", "frozen", "backbone", of_tuning),
    Question("family", "CNN or vision transformer?", "CNN", "vision transformer", "strategy", of_family),
)
ROWS = [
    "question", "within", "sample", "train_images", "a", "b", "seeds", "difference", "low", "high", "verdict",
    "time_ratio",
]  # fmt: skip


def answers(cells: Cells, members: Sequence[Member]) -> pd.DataFrame:
    """One row per question, backbone or strategy (`within`) and size, and one for all of them (`sample` empty) where
    there are several: `a`, `b`: the names of what was compared; the mean of a minus that of b, `difference`, `low`,
    `high`, `verdict`; `seeds`; `time_ratio`: the training time of a over that of b. Empty where no question has both
    sides."""
    trainings, models = described(cells.trainings, members), len(members)
    parts = [part for question in QUESTIONS for part in paired_parts(question, trainings, models)]
    if not parts:
        return pd.DataFrame(columns=ROWS)
    means, contrasts = combined(cells.draws, parts)
    rows = pd.DataFrame([{**part.names, "seeds": len(part.a), "time_ratio": part.ratio} for part in parts])
    single = rows.duplicated("question", keep="last")  # the last of a question is its answer
    for at in (rows.index[~single], *rows[single].groupby("question").groups.values()):
        intervals = means.differences([contrasts[i] for i in at])
        rows.loc[at, ["difference", "low", "high"]] = intervals
        rows.loc[at, "verdict"] = [means.verdict(low, high) for _, low, high in intervals]
    return rows[ROWS]


@dataclass(frozen=True)
class Part:
    """What one row compares. `a`, `b`: S×M, for each seed the share of each model in the mean of a side."""

    names: Mapping[str, object]
    a: np.ndarray
    b: np.ndarray
    ratio: float


def described(trainings: pd.DataFrame, members: Sequence[Member]) -> pd.DataFrame:
    """Trainings of all sites, with the plan of their strategy, the family of their backbone, and their seconds."""
    rows = trainings[trainings["site"] == ""]
    settings = [members[at].summary["settings"] for at in rows["at"]]
    return rows.assign(
        plan=[own["strategy"]["plan"] for own in settings],
        family=[family(own["backbone"]["name"]) for own in settings],
        seconds=[members[at].summary.get("seconds") for at in rows["at"]],
    )


def paired_parts(question: Question, trainings: pd.DataFrame, models: int) -> list[Part]:
    table = trainings.assign(side=[question.side(row) for _, row in trainings.iterrows()]).dropna(subset="side")
    groups = table.groupby([question.within, "sample"], sort=False)
    every = [_part(question, rows, (str(within), str(sample)), models) for (within, sample), rows in groups]
    parts = [part for part in every if part]
    return [*parts, _all(question, parts)] if len(parts) > 1 else parts


def _part(question: Question, rows: pd.DataFrame, of: tuple[str, str], models: int) -> Part | None:
    """Over the seeds that every member of both sides has; None where a side is empty or there is no such seed."""
    other = "strategy" if question.within == "backbone" else "backbone"
    members = {side: dict(iter(own.groupby(other, sort=False))) for side, own in rows.groupby("side")}
    if len(members) < 2:
        return None
    seeds = sorted(set.intersection(*(set(own["seed"]) for side in members.values() for own in side.values())))
    if not seeds:
        return None
    shares = {side: np.zeros((len(seeds), models)) for side in members}
    for side, own in members.items():
        for trained in own.values():
            at = trained.set_index("seed").loc[seeds, "at"].to_numpy(int)
            shares[side][np.arange(len(seeds)), at] += 1 / len(own)
    seconds = {side: own["seconds"].astype(float).mean() for side, own in rows.groupby("side")}
    names = {
        "question": question.name, "within": of[0], "sample": of[1], "train_images": rows["train_images"].iloc[0],
        **{side: ", ".join(map(str, own)) for side, own in members.items()},
    }  # fmt: skip
    return Part(names, shares["a"], shares["b"], float(seconds["a"] / seconds["b"]))


def _all(question: Question, parts: Sequence[Part]) -> Part:
    """The mean over all rows of a question, over as many seeds as each of them has."""
    seeds = min(len(part.a) for part in parts)
    a = np.mean([part.a[:seeds] for part in parts], axis=0)
    b = np.mean([part.b[:seeds] for part in parts], axis=0)
    names = {"question": question.name, "within": "all", "sample": "", "train_images": np.nan, "a": "", "b": ""}
    return Part(names, a, b, float(np.exp(np.mean([np.log(part.ratio) for part in parts]))))


def combined(draws: Draws, parts: Sequence[Part]) -> tuple[Draws, list[Contrast]]:
    """Draws whose rows are the means of the sides, one per part, side and seed, and the contrasts of these rows."""
    shares = [share for part in parts for share in (*part.a, *part.b)]
    used = [np.flatnonzero(share) for share in shares]
    point = np.array([share[at] @ draws.point[at] for share, at in zip(shares, used, strict=True)])
    drawn = np.stack([share[at] @ draws.replicates[at] for share, at in zip(shares, used, strict=True)])
    starts = np.cumsum([0, *(2 * len(part.a) for part in parts)])
    contrasts = [
        Contrast(range(start, start + len(part.a)), range(start + len(part.a), start + 2 * len(part.a)))
        for start, part in zip(starts, parts, strict=False)
    ]
    return replace(draws, point=point, replicates=drawn), contrasts
