"""One exported model that answers: the bytes of an image file in, what is said about it out.

Used by the server, and by whoever wants answers in process. No torch, no MLflow, no pandas.

Shapes: B images, H×W pixels, C channels, K classes, F features, h×w cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..shared.core.errors import UserError
from ..shared.exported.decision import Decision
from ..shared.exported.export import Export
from ..shared.exported.facts import facts_of
from ..shared.images.decode import MAX_PIXELS
from . import size

NAME = "image"  # in messages: the name of a file may name a patient
NEEDS_MASK = (
    "This model learned from images that were cropped to a mask, so each image has to come with its mask: an image "
    "file that is white where the structures are, in the field `mask` of /predict."
)
WARM = (1, 2)  # batches that a new model sees before it answers


@dataclass(frozen=True)
class Prepared:
    """image: uint8 H×W×C, as the images that the model learned from. facts: of the image as it came (facts.py)."""

    image: np.ndarray
    facts: dict[str, float]


@dataclass(frozen=True)
class Answer:
    """About one image. probabilities: K, calibrated. reading: the decision in plain words. features: F, which the head
    reads. maps: K×h×w, how much each cell says for a class; None: the head is not linear on a mean of cells."""

    probabilities: np.ndarray
    decision: Decision
    reading: str
    features: np.ndarray
    maps: np.ndarray | None


@dataclass(frozen=True)
class Service:
    """An export, and what to call it. Several threads may use one. pixels: of an image, at most."""

    export: Export
    version: str
    pixels: int = MAX_PIXELS

    @classmethod
    def open(cls, folder: Path, version: str = "", pixels: int = MAX_PIXELS, threads: int | None = None) -> Service:
        """Read, checked and warm. `version`: such as models:/lightbox/3; empty: the folder. `threads`: of a prediction;
        None: all cores.

        Raises:
            UserError: the export is missing, was changed, is not certified, or gives no probabilities.
        """
        service = cls(Export.read(folder, threads), version or str(folder), pixels)
        service.warm_up()
        return service

    def warm_up(self) -> None:
        """The first predictions of a process are slow, and a model that cannot predict should not take over."""
        image = np.zeros((*self.export.recipe.size, self.export.recipe.preprocess.channels), np.uint8)
        for batch in WARM:
            probabilities = self.export.predict(np.stack([image] * batch)).probabilities
            if not np.allclose(probabilities.sum(axis=1), 1, atol=1e-3):  # NaN is not close to anything
                raise UserError(
                    f"{self.version}: gives {probabilities[0]} on a black image, which are no probabilities."
                )

    def prepare(self, data: bytes, mask: bytes | None = None) -> Prepared:
        """`data`: an image file. `mask`: one that is white where the structures are, for models that learned from
        images cropped to them.

        Raises:
            TooLarge: more than `pixels`; nothing was decoded.
            UnreadableImage: it cannot be decoded.
            UserError: the model needs a mask.
        """
        if mask is None and self.export.needs_mask:
            raise UserError(NEEDS_MASK)
        size.check(data, NAME, self.pixels)
        if mask is not None:
            size.check(mask, f"mask of {NAME}", self.pixels)
        preprocessor = self.export.preprocessor
        original = preprocessor.original(data, NAME)
        if mask is None:  # as Preprocessor does it, without decoding twice
            image = preprocessor.prepare(original, None, NAME).image
        else:
            image = self.export.preprocess(data, NAME, mask)
        return Prepared(image, facts_of(original))

    def predict(self, images: np.ndarray) -> list[Answer]:
        """uint8 B×H×W×C, as `prepare` gives them."""
        answers = self.export.predict(images)
        decisions = self.export.decide(answers)
        return [
            Answer(
                answers.probabilities[i],
                decision,
                self.export.rules.read_out(decision),
                answers.features[i],
                None if answers.maps is None else answers.maps[i],
            )
            for i, decision in enumerate(decisions)
        ]

    def answer(self, data: bytes, mask: bytes | None = None) -> Answer:
        """Of one image file."""
        return self.predict(self.prepare(data, mask).image[None])[0]
