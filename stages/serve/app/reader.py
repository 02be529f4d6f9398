"""A version of a model, and what the page needs beside it, read once.

Shapes: K classes, H×W the input of the model, h×w the image of a file, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...shared.arrays.preprocessing import resize, restore
from ...shared.core.files import read_json
from ...shared.core.paths import PROCESSED, VALIDATION
from ...shared.exported.export import Export
from .. import heat
from ..service import NAME, Answer, Service
from . import examples, similar


@dataclass(frozen=True)
class Case:
    """A training image. picture: as the model saw it, uint8 H×W×C; None: it is not on this machine."""

    label: str
    cosine: float
    picture: np.ndarray | None


@dataclass(frozen=True)
class Reading:
    """An image and what is said about it. film: uint8 h×w×C, or `seen` where preprocessing moves pixels. seen: uint8
    H×W×C, as the model sees it."""

    film: np.ndarray
    seen: np.ndarray
    answer: Answer


@dataclass(frozen=True)
class Reader:
    """features: of the training images, N×F of length 1. pictures: images.npy of the study that it was trained on,
    where that lies here. synthetic: it is known to be drawn. examples: test images of the study that lies here."""

    service: Service
    features: np.ndarray
    pictures: np.ndarray | None
    synthetic: bool
    examples: list[examples.Example]

    @classmethod
    def of(cls, service: Service) -> Reader:
        """Raises UserError when the export lacks its training images."""
        training, pictures = service.export.training, pictures_of(service.export.recipe.data)
        return cls(
            service,
            similar.unit(training.features),
            pictures,
            pictures is not None and VALIDATION.is_file() and bool(read_json(VALIDATION).get("phantom")),
            examples.choose(set(training.sha256.tolist())),
        )

    @property
    def export(self) -> Export:
        return self.service.export

    @property
    def version(self) -> str:
        """Its name in the registry, or the folder, and the beginning of its SHA-256."""
        return f"{self.service.version} ({self.export.certificate.onnx_sha256[:12]})"

    @property
    def state(self) -> str:
        """Changes when any answer may: sessions keep answers by it."""
        return f"{self.service.version} {self.export.certificate.digest}"

    def read(self, data: bytes) -> Reading:
        """Raises UserError (UnreadableImage, TooLarge) when the bytes are no image that can be read."""
        seen = self.service.prepare(data).image
        preprocessor = self.export.preprocessor
        film = seen if preprocessor.moves_pixels else preprocessor.original(data, NAME)
        return Reading(film, seen, self.service.predict(seen[None])[0])

    def heat(self, reading: Reading, k: int) -> np.ndarray | None:
        """At the size of the film, from 0 to 1: where it speaks for class k. None: the head is not linear."""
        if reading.answer.maps is None:
            return None
        height, width = reading.seen.shape[:2]
        cells = heat.evidence(reading.answer.maps, k)
        values = resize(cells, (height, width), interpolation="cubic").clip(0, 1)
        if reading.film is reading.seen:
            return values
        return restore(values, (reading.film.shape[0], reading.film.shape[1]), self.export.recipe.preprocess)

    def similar_to(self, answer: Answer, count: int) -> list[Case]:
        training = self.export.training
        patients, labels = training.patients[training.described], training.labels[training.described]
        return [
            Case(
                str(labels[near.row]),
                near.cosine,
                None if self.pictures is None else np.asarray(self.pictures[training.rows[near.row]]),
            )
            for near in similar.nearest(answer.features, self.features, patients, count)
        ]


def pictures_of(fingerprint: str) -> np.ndarray | None:
    """The arrays of data/processed, memory-mapped, if they are those that a model was trained on."""
    meta, images = PROCESSED / "meta.json", PROCESSED / "images.npy"
    if not (meta.is_file() and images.is_file()) or read_json(meta)["fingerprint"] != fingerprint:
        return None
    pictures: np.ndarray = np.load(images, mmap_mode="r")
    return pictures
