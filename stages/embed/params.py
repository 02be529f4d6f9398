"""What a user may say about neighbours and maps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ..shared.core.settings import Settings

USUAL = 30.0  # perplexity, as van der Maaten & Hinton 2008 and scikit-learn have it


class Params(Settings):
    """The `embed` section."""

    k: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = [1, 3, 5, 9, 15, 25, 50]
    """Numbers of neighbours to choose from, on the validation split; those above the number of training images count
    as that number."""
    perplexity: Annotated[float, Field(ge=1)] | Literal["auto"] = "auto"
    """Of t-SNE: about how many neighbours an image has; at most a third of the other images. auto: 30, or where there
    are too few images for that, as many as they allow."""
    iterations: Annotated[int, Field(ge=250)] = 500
    """Of t-SNE."""
    points: Annotated[int, Field(ge=5)] = 2000
    """Images on the maps, at most: test and validation images first, then training images, drawn with the seed."""
    on_leak: Literal["warn", "stop"] = "warn"
    """What images of two splits do that are too much alike to be of two patients: stop refuses the study."""
    false_alarms: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Pairs that a model is expected to suspect though nothing leaked; decides how much alike is too much."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the maps."""

    def perplexity_of(self, points: int) -> float:
        """Of a map of so many images."""
        return min(USUAL, most(points)) if self.perplexity == "auto" else self.perplexity


def most(points: int) -> float:
    """The largest perplexity of a map of so many images: t-SNE looks at three times as many neighbours."""
    return (points - 1) / 3
