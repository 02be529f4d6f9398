"""compare: the files of every model -> one leaderboard, figures and a report that opens without a network.

Reads reports/train, evaluate and explain of the keys that params.yaml lists now, never what merely lies there. A model
whose files are not all there is marked as missing; the rest is compared.
Imports no torch: a comparison needs no weights.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..shared.job import Job, Result
from ..shared.matrix import Matrix
from ..shared.settings import Settings

__all__ = ["Params", "run"]


class Params(Settings):
    matrix: Matrix
    """The models to compare (the top-level `matrix`)."""
    seed: int = Field(0, ge=0)
    """Seed of the bootstrap and of the choice of sample films (the top-level `seed`)."""
    title: str | None = None
    """Heading of the report; null: the question that the matrix asks."""
    sort_by: Literal[
        "auroc", "auprc", "balanced_accuracy", "accuracy", "sensitivity", "specificity", "ppv", "npv", "f1"
    ] = "auroc"
    """Test metric that orders the leaderboard, highest first."""
    baseline: str = "from_scratch"
    """Strategy that the others are measured against; without it in the matrix there is no such table."""
    replicates: int = Field(1000, ge=100, le=100_000)
    """Bootstrap replicates, drawn by patient, for the intervals of differences."""
    samples: int = Field(6, ge=0, le=40)
    """Test films that the report shows with every model's reading of each."""


def run(params: Params, job: Job) -> Result:
    """Write reports/compare/.

    Raises:
        UserError: the matrix is empty or no model of it complete; files are stale or of other images than the rest.
    """
    from .work import compare

    return compare(params)
