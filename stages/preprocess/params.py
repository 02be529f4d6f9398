"""The `preprocess` section of params.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..shared.arrays.preprocessing import PreprocessSpec
from ..shared.core.settings import Settings


class Split(Settings):
    """Who trains, who validates, who tests. A group (patients joined by duplicates of a picture) is never divided."""

    method: Literal["grouped", "provided"] = "grouped"
    """grouped: hold out `test` of the images. provided: the test part of validate.provided_split is the test."""
    val: Literal["dealt", "provided"] = "dealt"
    """Where `method` is provided. dealt: its train and val are dealt into folds anew, because provided validation parts
    are often too small to stop on (16 images in the chest X-rays of Kermany et al.). provided: fold 0 is its val, and
    the other folds are dealt from its train."""
    repair: bool = False
    """Where `method` is provided, and a group has images in several of its parts. false: an error that names them.
    true: the whole group goes to the part with most of its images, and the split card lists what moved."""
    test: float = Field(default=0.2, gt=0, lt=1)
    """Share of the images held out, once; used where `method` is grouped."""
    folds: int = Field(default=5, ge=2, le=50)
    """The other images are dealt into so many folds. Fold k is the validation part of samples with `fold: k`."""
    seed: int = Field(default=0, ge=0)
    """Another seed deals the groups differently."""

    @model_validator(mode="after")
    def _provided(self) -> Split:
        if self.method == "grouped" and (self.repair or self.val == "provided"):
            field = "repair: true" if self.repair else "val: provided"
            raise ValueError(f"{field} is about the set's own split. Set method: provided, or leave it out.")
        return self


class Params(PreprocessSpec):
    """What is done to every image, and the split."""

    steps_on: Literal["resized", "original"] = "resized"
    """resized: the steps see every image in `size`, whatever its file's. original: they see it in the size of its file,
    e.g. to crop it in pixels of the file; but what CLAHE does then depends on that size: 40 chest films, mean grey
    level 132, come out with 135 from files of 512 pixels and with 158 from files of 150 (resized: 139 and 140)."""
    split: Split = Split()
    """Test, train and validation parts."""

    @property
    def spec(self) -> PreprocessSpec:
        """What travels with a model."""
        return PreprocessSpec.model_validate(self.model_dump(exclude={"split"}))
