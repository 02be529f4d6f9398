"""What the features of the models say: neighbours that vote against the model's own head, and suspected leaks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..read import KNN, Member
from .draws import Contrast, Draws
from .repeats import CELL


def votes(trainings: pd.DataFrame, draws: Draws, members: Sequence[Member]) -> pd.DataFrame:
    """One row per backbone, strategy and size: the mean of its models (`head`), of the neighbours that vote in their
    features (`value`), and the `difference`, in pairs, with its simultaneous interval `low` and `high`. `silhouette`:
    the mean over these models, NaN where it is not defined. Empty where no neighbours vote."""
    own = trainings[trainings["kind"] == "model"].set_index([*CELL, "seed"])["at"]
    voting = trainings[trainings["kind"] == "neighbours"].assign(strategy=lambda t: t["strategy"].str.removesuffix(KNN))
    pairs = [(cell, rows["at"].tolist(), _heads(own, rows)) for cell, rows in voting.groupby(CELL, sort=False)]
    rows = []
    intervals = draws.differences([Contrast(at, heads) for _, at, heads in pairs])
    for (cell, at, heads), (difference, low, high) in zip(pairs, intervals, strict=True):
        names = dict(zip(CELL, cell, strict=True))
        scores = {"head": draws.point[heads].mean(), "value": draws.point[at].mean(), "difference": difference}
        about = {"low": low, "high": high, "verdict": draws.verdict(low, high), "seeds": len(at)}
        images = trainings.set_index("at")["train_images"][at[0]]
        separated = np.mean([_silhouette(members[i]) for i in heads])
        rows.append({**names, "train_images": images, **scores, **about, "silhouette": separated})
    return pd.DataFrame(rows)


def _heads(own: pd.Series, rows: pd.DataFrame) -> list[int]:
    """Positions of the models in whose features the neighbours of `rows` vote."""
    return [int(own[tuple(values)]) for values in rows[[*CELL, "seed"]].itertuples(index=False)]


def _silhouette(m: Member) -> float:
    return float(m.embed["silhouette"]["value"]) if m.embed["silhouette"] else np.nan


def leaks(members: Sequence[Member]) -> pd.DataFrame:
    """One row per pair of images that some model finds too much alike: path, split, other, other_split, the largest
    `cosine`, and how many `models` find it; the pair of most models first."""
    tables = [m.leaks for m in members if len(m.leaks)]
    if not tables:
        return pd.DataFrame(columns=["path", "split", "other", "other_split", "cosine", "models"])
    names = ["path", "split", "other", "other_split"]
    pairs = pd.concat(tables).groupby(names, as_index=False).agg(cosine=("cosine", "max"), models=("cosine", "size"))
    return pairs.sort_values(["models", "cosine"], ascending=False, kind="stable", ignore_index=True)
