"""What goes into a stage's `run` beside its params, and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .paths import Key

Report = Callable[[Mapping[str, float], int], None]


@dataclass(frozen=True)
class Job:
    """`key`: the matrix member, for stages that run once per member. `report(metrics, step)`: for long work, the
    curve so far; goes to MLflow while the stage runs."""

    key: Key | None = None
    report: Report = lambda metrics, step: None

    @property
    def member(self) -> Key:
        if self.key is None:
            raise ValueError("this stage runs once per member of the matrix and was started without one")
        return self.key


@dataclass(frozen=True)
class Result:
    """What a stage hands to tracking: metrics, figures (files), the folder of a model, the file of a data set.

    `discard`: called once all of it is recorded; deletes what until then could bring the work back.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    figures: tuple[Path, ...] = ()
    model: Path | None = None
    dataset: Path | None = None
    discard: Callable[[], None] = lambda: None
