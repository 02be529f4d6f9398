"""What a user may say about how models are exported and served."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, PositiveFloat, model_validator

from ..shared.core.settings import Settings, without
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


class Http(Settings):
    """How `python -m stages serve` answers. A key that every request needs is no setting, because params.yaml lies in
    git: the environment variable LIGHTBOX_API_KEY."""

    host: str = "127.0.0.1"
    """Address to listen on; 127.0.0.1: this machine alone. 0.0.0.0: every machine that can reach this one."""
    port: Annotated[int, Field(ge=0, lt=2**16)] = 8000
    """0: any that is free."""
    alias: Annotated[str, Field(pattern=r"^[A-Za-z][\w-]*$")] | None = "champion"
    """Which version of the registered model `registry.name` answers; null: the model that validation chose, without a
    look into the registry."""
    poll: PositiveFloat = 30
    """Seconds between two looks into the registry."""
    window_ms: Annotated[float, Field(ge=0, le=1000)] = 5
    """How long the model waits for images of other requests that are being decoded, to predict them together."""
    batch: Annotated[int, Field(ge=1)] = 32
    """Images in one call of the model, at most."""
    body_mb: PositiveFloat = 32
    """MiB of a request, at most."""
    megapixels: Annotated[float, Field(gt=0, le=89)] = 50
    """Of an image, at most (no image of more than 89 is read anywhere). From its header, before anything is decoded."""
    seconds: PositiveFloat = 30
    """For a request to arrive in."""
    waiting: Annotated[int, Field(ge=1)] = 128
    """Requests with an image at a time, at most; others are told to come again."""
    waiting_mb: PositiveFloat = 512
    """MiB of all these requests, at most; others are told to come again. The server holds each twice, and beside them
    one decoded image for each core."""
    log: bool = True
    """Write features, probabilities and a few facts about each image to .lightbox/served, for `python -m stages drift`;
    never images or names."""

    @model_validator(mode="before")
    @classmethod
    def _follow(cls, values: Any) -> Any:
        remedy = "It said {value!r}: write the alias as serve.http.alias, and the model as registry.name."
        return without(values, "follow", remedy)


class Params(Settings):
    """How models are exported and served."""

    export: Export = Export()
    """`python -m stages export`."""
    reading: Reading = Reading()
    """What an answer means, in plain words. Goes into the export, and so with a model into the registry."""
    http: Http = Http()
    """`python -m stages serve`."""
