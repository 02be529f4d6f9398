"""What a user may say about how models are judged."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..shared.core.settings import Settings


class Params(Settings):
    """The `evaluate` section."""

    bootstrap: Annotated[int, Field(ge=100)] = 10_000
    """Bootstrap draws of the test patients behind each interval: so many that another seed hardly moves it."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Coverage of the intervals."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the resampling."""
