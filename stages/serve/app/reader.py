"""A version of a model, and what the page needs beside it, read once.

Shapes: K classes, H×W the input of the model, h×w the image of a file, C channels, F features.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...shared.core.files import read_json
from ...shared.core.paths import PROCESSED, VALIDATION
from ...shared.exported.decision import Decision
from ...shared.exported.export import Export
from . import examples, heat, similar


@dataclass(frozen=True)
class Case:
    """A training image. picture: as the model saw it, uint8 H×W×C; None: it is not on this machine."""

    label: str
    cosine: float
    picture: np.ndarray | None


@dataclass(frozen=True)
class Answer:
    """Of one image. film: uint8 h×w×C, or H×W×C where preprocessing moves pixels. seen: uint8 H×W×C. probabilities: K,
    calibrated. heat: float32 K×H×W from 0 to 1; None: the head is not linear. features: F."""

    film: np.ndarray
    seen: np.ndarray
    probabilities: np.ndarray
    decision: Decision
    heat: np.ndarray | None
    features: np.ndarray


@dataclass(frozen=True)
class Reader:
    """features: of the training images, N×F of length 1. pictures: images.npy of the study that it was trained on,
    where that lies here. synthetic: it is known to be drawn. examples: test images of the study that lies here."""

    export: Export
    features: np.ndarray
    pictures: np.ndarray | None
    synthetic: bool
    examples: list[examples.Example]

    @classmethod
    def open(cls, folder: Path) -> Reader:
        """Raises UserError when the folder is no certified export."""
        export = Export.read(folder)
        training, pictures = export.training, pictures_of(export.recipe.data)
        return cls(
            export,
            similar.unit(training.features),
            pictures,
            pictures is not None and VALIDATION.is_file() and bool(read_json(VALIDATION).get("phantom")),
            examples.choose(set(training.sha256.tolist())),
        )

    @property
    def version(self) -> str:
        return self.export.certificate.onnx_sha256[:12]

    def read(self, data: bytes) -> Answer:
        """Raises UserError (UnreadableImage) when the bytes are no image that can be read."""
        name = "the image"  # names of files may name patients
        preprocessor = self.export.preprocessor
        seen = self.export.preprocess(data, name)
        film = seen if preprocessor.moves_pixels else preprocessor.original(data, name)
        answers = self.export.predict(seen[None])
        size = (seen.shape[0], seen.shape[1])
        return Answer(
            film,
            seen,
            answers.probabilities[0],
            self.export.decide(answers)[0],
            None if answers.maps is None else heat.evidence(answers.maps[0], size),
            answers.features[0],
        )

    def similar_to(self, answer: Answer, count: int) -> list[Case]:
        training = self.export.training
        patients = training.patients[training.described]
        labels = training.labels[training.described]
        return [
            Case(
                str(labels[found.row]),
                found.cosine,
                None if self.pictures is None else np.asarray(self.pictures[training.rows[found.row]]),
            )
            for found in similar.nearest(answer.features, self.features, patients, count)
        ]


def pictures_of(fingerprint: str) -> np.ndarray | None:
    """The arrays of data/processed, memory-mapped, if they are those that a model was trained on."""
    meta, images = PROCESSED / "meta.json", PROCESSED / "images.npy"
    if not (meta.is_file() and images.is_file()) or read_json(meta)["fingerprint"] != fingerprint:
        return None
    pictures: np.ndarray = np.load(images, mmap_mode="r")
    return pictures
