"""What a user may say about heat maps."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ..shared.core.settings import Settings, without

MethodName = Literal[
    "grad_cam",
    "grad_cam_pp",
    "eigen_cam",
    "occlusion",
    "integrated_gradients",
    "attention_rollout",
    "own_attention",
]
Share = Annotated[float, Field(gt=0, lt=1)]


class Params(Settings):
    methods: Annotated[list[MethodName], Field(min_length=1)] = ["grad_cam"]
    """Classification: ways to ask a model where it looked. The pictures of single images show the first that the model
    can do; the numbers are of all. occlusion and integrated_gradients take many passes of each image."""
    images: Annotated[int, Field(ge=8)] = 48
    """Classification: test images on which the maps are measured, of each class and outcome as many as there are, up to
    an equal number. The numbers are weighted so that they stand for the whole test split."""
    checks: bool = True
    """Whether maps are tested against the model, by deletion, insertion and a model with shuffled weights. These take
    about twenty passes of each image of the sample."""
    shares: Annotated[list[Share], Field(min_length=1)] = [0.1, 0.3, 0.6]
    """Shares of the pixels at which the curves of deletion and insertion are read, beside none and all."""
    bootstrap: Annotated[int, Field(ge=100)] = 2000
    """Bootstrap draws of the patients of the sample behind each interval."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Coverage of the intervals."""
    right: Annotated[int, Field(ge=0)] = 2
    """Correctly predicted test images shown of each class."""
    wrong: Annotated[int, Field(ge=0)] = 2
    """Wrongly predicted test images shown of each class."""
    choose: Literal["random", "confident", "uncertain"] = "random"
    """Which ones: `random` shows typical cases, `confident` the highest probabilities, `uncertain` the lowest."""
    outlines: Annotated[int, Field(ge=0)] = 2
    """Segmentation: test images shown with the best Dice, as many with a median one, and as many with the worst."""
    scores: Annotated[int, Field(ge=0)] = 2
    """Anomaly detection: test images shown with the highest score, as many with a median one, and as many with the
    lowest, of the normal images and of the others."""
    common: Annotated[int, Field(ge=0)] = 6
    """Segmentation and anomaly detection: random test images that are shown of every model."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the random choices."""

    @model_validator(mode="before")
    @classmethod
    def _one_method_before(cls, values: Any) -> Any:
        return without(values, "method", "It is a list now, called methods: write methods: [{value}] in its place.")

    @field_validator("methods", "shares")
    @classmethod
    def _each_once(cls, entries: list[Any]) -> list[Any]:
        twice = sorted({entry for entry in entries if entries.count(entry) > 1})
        if twice:
            raise ValueError(f"{', '.join(map(repr, twice))} is listed twice. List each once.")
        return entries
