"""One entry of `samples`: whose images train."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ...shared.settings import Settings


class Sample(Settings):
    """One entry of `samples`: which part of the training patients, which fold is validation, which seed."""

    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the training patients. With one seed, smaller shares lie inside larger ones."""
    fold: Annotated[int, Field(ge=0)] = 0
    """The fold that validates; the other folds train."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Added to the global seed: repeats of a training."""
