"""Read what the other stages left, and compare it. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from .. import read
from ..params import Params
from ..read import Member
from . import repeats
from .board import draw, leaderboard

LIMIT = 15  # models in figures that show single ones


@dataclass(frozen=True)
class Study:
    """Everything known about the models; `ranked` is in the order of `board`, best first. `missing`: those that are
    not complete, and so in none of the tables. `means`: one row per backbone, strategy and size of training set."""

    params: Params
    data: read.Data
    ranked: list[Member]
    board: pd.DataFrame
    means: pd.DataFrame
    contrasts: pd.DataFrame
    missing: list[read.Missing]

    @property
    def by_key(self) -> dict[str, Member]:
        return {str(m.key): m for m in self.ranked}

    @property
    def grows(self) -> bool:
        """Models were trained on different numbers of images, so there is a learning curve to draw."""
        return self.means["train_images"].nunique() > 1

    @property
    def repeated(self) -> bool:
        """Some models are repeats of one another with other seeds."""
        return bool((self.means["seeds"] > 1).any())

    @cached_property
    def shown(self) -> pd.DataFrame:
        """Rows of the leaderboard that figures of single models have room for: of repeats the first of the matrix, so
        that no score picks it, and the highest LIMIT of what is left."""
        names = self.board["key"]
        if len(names) > LIMIT:
            firsts = self.means["samples"].str.split().str[0]
            names = self.means["backbone"] + "-" + self.means["strategy"] + "-" + firsts
        return self.board[self.board["key"].isin(names)].head(LIMIT).reset_index(drop=True)


def analyse(params: Params) -> Study:
    data = read.data()
    members, missing = read.members(params.matrix.keys(), data.meta["classes"])
    draws = draw(members, params.replicates, params.seed)
    board = leaderboard(members, draws, params.sort_by)
    by_key = {str(m.key): m for m in members}
    means = repeats.means(members, draws)
    contrasts = repeats.contrasts(members, draws, params.baseline)
    return Study(params, data, [by_key[key] for key in board.key], board, means, contrasts, missing)
