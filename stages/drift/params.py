"""What a user may say about how new images are compared with the reference."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..shared.core.settings import Expression, Settings


class Params(Settings):
    """How new images are compared with those that the model was validated and tested on."""

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """Probability of an alarm where nothing has changed."""
    patients: Annotated[int, Field(ge=5)] = 20
    """Of fewer new patients nothing is said."""
    patient: Expression | None = None
    """Regular expression that finds the patient in the path of a new image, as `validate.patient` does; null: that
    one."""
    days: Annotated[int, Field(ge=1)] = 30
    """`--served`: how far back to look into the server's log."""
    images: Annotated[int, Field(ge=100)] = 2000
    """Of each sample, at most; of larger ones whole patients are drawn at random."""
    permutations: Annotated[int, Field(ge=199)] = 1999
    """Behind each p value. Eight tests at 5% need 160 at least."""
    draws: Annotated[int, Field(ge=100)] = 1000
    """Of patients, behind each interval."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Of the intervals."""
    seed: int = 0
    """Of permutations and draws."""
