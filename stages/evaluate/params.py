"""What a user may say about how models are judged."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..shared.core.judging import Judging


class Params(Judging):
    """The `evaluate` section, and the seed."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Of the resampling."""
