"""What a user may say about the comparison."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..shared.core.matrix import Matrix
from ..shared.core.settings import Settings


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
