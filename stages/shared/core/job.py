"""What goes into a stage's `run` beside its params, and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .paths import Key

if TYPE_CHECKING:
    import pandas as pd

Report = Callable[[Mapping[str, float], int], None]


@dataclass(frozen=True)
class Job:
    """`key`: the matrix member, for stages that run once per member. `report(metrics, step)`: for long work, the
    curve so far; goes to MLflow while the stage runs. `quiet`: without a line per epoch, where there are many
    trainings."""

    key: Key | None = None
    report: Report = lambda metrics, step: None
    quiet: bool = False

    @property
    def member(self) -> Key:
        if self.key is None:
            raise ValueError("this stage runs once per member of the matrix and was started without one")
        return self.key


@dataclass(frozen=True)
class Result:
    """What a stage hands to tracking: metrics, figures (files), the folder of a model, and the images that it read, one
    row per image, by use (training, validation, …).

    `of_study`: metrics and data sets are those of the whole study too. `discard`: called once all of it is recorded;
    deletes what until then could bring the work back.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    figures: tuple[Path, ...] = ()
    model: Path | None = None
    datasets: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    of_study: bool = False
    discard: Callable[[], None] = lambda: None
