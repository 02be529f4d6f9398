"""Read what the other stages left, and compare it. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from . import Params, load, tables
from .load import Member


@dataclass(frozen=True)
class Study:
    """Everything known about the models; `ranked` is in the order of `board`, best first. `missing`: those that are
    not complete, and so in none of the tables."""

    params: Params
    data: load.Data
    ranked: list[Member]
    board: pd.DataFrame
    contrasts: pd.DataFrame
    missing: list[load.Missing]

    @property
    def by_key(self) -> dict[str, Member]:
        return {str(m.key): m for m in self.ranked}

    @property
    def grows(self) -> bool:
        """Models were trained on different numbers of images, so there is a learning curve to draw."""
        return self.board["train_images"].nunique() > 1


def analyse(params: Params) -> Study:
    data = load.data()
    members, missing = load.members(params.matrix.keys(), data.meta["classes"])
    draws = tables.draw(members, params.replicates, params.seed)
    board = tables.leaderboard(members, draws, params.sort_by)
    by_key = {str(m.key): m for m in members}
    contrasts = tables.contrasts(members, draws, params.baseline)
    return Study(params, data, [by_key[key] for key in board.key], board, contrasts, missing)
