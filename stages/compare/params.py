"""What a user may say about the comparison."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from ..shared.core.matrix import Matrix
from ..shared.core.settings import Settings, without
from ..shared.core.task import TaskName


class Params(Settings):
    task: TaskName
    """What the models were trained for (the top-level `task`): it decides which metrics exist."""
    matrix: Matrix
    """The models to compare (the top-level `matrix`)."""
    seed: int = Field(0, ge=0)
    """Seed of the choice of sample images (the top-level `seed`)."""
    title: str | None = None
    """Heading of the report; null: the question that the matrix asks."""
    note: str | None = None
    """What readers should know of these images before they believe a number: a sentence on the first screen. null:
    nothing."""
    sort_by: str = "auroc"
    """Test metric that decides: rank, differences, ties and contrasts follow it."""
    baseline: str = "from_scratch"
    """Strategy that the others are compared with; without it in the matrix there is no such table."""
    target: float | None = None
    """Value of `sort_by` for which learning curves say how many training images it needs; null: the best mean that the
    baseline reaches at its largest size."""
    samples: int = Field(6, ge=0, le=40)
    """Test images that the report shows with the prediction of every model."""
    ensembles: bool = True
    """Judge the mean of the calibrated probabilities of the top models of validation, and of repeats over seeds and
    folds: reports/compare/ensembles."""
    documents: bool = True
    """Fill reports/compare/documents: model cards, checklists (CLAIM, TRIPOD+AI), slides, a PDF, references."""

    @model_validator(mode="before")
    @classmethod
    def _no_bootstrap_here(cls, values: Any) -> Any:
        return without(
            values, "replicates",
            "evaluate.bootstrap decides now how many bootstrap draws there are; set that and remove this line.",
        )  # fmt: skip
