"""What a user may say about how models are exported and served."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..shared.core.settings import Settings
from ..shared.exported.reading import Reading


class Export(Settings):
    """How `python -m stages export` writes a model."""

    certified: Annotated[int, Field(ge=10)] = 60
    """Test images on which the exported model is compared with the trained one, in batches of 1, 2 and 5; spread over
    the test set. All of them where there are fewer."""
    reference: Annotated[int, Field(ge=1)] = 5000
    """Training images whose features go with the model, for similar cases and for drift; a random choice where there
    are more."""
    int8_images: Annotated[int, Field(ge=10)] = 300
    """Training images that choose the ranges of an INT8 model (`--int8`)."""
    int8_tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """How far a probability of an INT8 model may be from the trained model's. Others: 0.0001."""
    int8_margin: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """How much sensitivity at the operating point an INT8 model may lose: it is certified where the 95% interval of the
    loss, on the same test patients, stays below this."""


class Params(Settings):
    """How models are exported and served."""

    export: Export = Export()
    """`python -m stages export`."""
    reading: Reading = Reading()
    """What an answer means, in plain words. Goes into the export, and so with a model into the registry."""
