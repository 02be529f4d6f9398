"""One entry of `samples`: whose images train."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from ...shared.core.settings import Settings


class Sample(Settings):
    """One entry of `samples`: which part of the training patients, of which sites, which fold validates, which seed."""

    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the training patients. With one seed, smaller shares lie inside larger ones."""
    per_class: Annotated[int, Field(ge=1)] | None = None
    """Instead of a fraction: so many images of each class, in whole patients (the last one may bring a few more)."""
    site: str | None = None
    """Train and validate on the images of this site only, as `validate.site` names it in the file; null: on all. Test
    images are those of all sites."""
    leave_out: str | None = None
    """Train and validate on the images of all sites but this one. The report gives the score on the test images of each
    site: that of the one left out says what a model is worth at a hospital that it never saw. null: none."""
    fold: Annotated[int, Field(ge=0)] = 0
    """The fold that validates; the other folds train."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Added to the global seed: repeats of a training."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Sample:
        if self.per_class is not None and self.fraction != 1:
            raise ValueError(
                f"fraction: {self.fraction} and per_class: {self.per_class} both say how many. Leave one of them out."
            )
        if self.site is not None and self.leave_out is not None:
            raise ValueError(
                f"site: {self.site} and leave_out: {self.leave_out} both say at which sites. Leave one of them out."
            )
        return self
