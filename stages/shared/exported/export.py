"""An export: a folder that has all that is needed to answer.

Shapes: B images, H×W pixels, C channels, K classes, F features, h×w cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..arrays.preprocessing import Preprocessor
from ..core.errors import UserError
from ..model.recipe import Recipe
from . import certificate as certificates
from .certificate import Certificate
from .decision import Decision, Rules
from .session import Session, open_session
from .training import FILE, HELD_OUT, Training

ROOT = Path("models/onnx")


@dataclass(frozen=True)
class Answers:
    """logits B×K; probabilities B×K, calibrated; features B×F, which the head reads; maps B×K×h×w, whose mean over the
    cells is the logit: how much each cell says for a class. None: the head is not linear on a mean of cells, so only
    torch can say where the model looked. All float32."""

    logits: np.ndarray
    probabilities: np.ndarray
    features: np.ndarray
    maps: np.ndarray | None = None

    @property
    def scores(self) -> np.ndarray:
        """float64 B×K: the probabilities before calibration, which all decisions look at."""
        shifted = np.exp(self.logits.astype(np.float64) - self.logits.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))

    def __getitem__(self, rows: slice) -> Answers:
        maps = None if self.maps is None else self.maps[rows]
        return Answers(self.logits[rows], self.probabilities[rows], self.features[rows], maps)


@dataclass(frozen=True)
class Export:
    """models/onnx/<key>, checked."""

    folder: Path
    recipe: Recipe
    certificate: Certificate
    rules: Rules
    session: Session
    preprocessor: Preprocessor

    @classmethod
    def read(cls, folder: Path | str, threads: int | None = None) -> Export:
        """`threads`: of one call of `predict`; None: all cores that this process may use.

        Raises:
            UserError: the folder is missing; its certificate is missing or did not pass; a file was changed.
        """
        folder = Path(folder)
        remedy = _remedy(folder)
        if not folder.is_dir():
            raise UserError(f"{folder}: missing. {remedy}")
        certificate = certificates.read(folder, remedy)
        recipe, rules = Recipe.read(folder), Rules.read(folder, remedy)
        if (recipe.onnx_sha256, recipe.key) != (certificate.onnx_sha256, certificate.key):
            raise UserError(f"{folder}/recipe.json: of another model than {certificates.FILE} beside it. {remedy}")
        session = open_session(folder, certificate.runtime, threads)
        return cls(
            folder, recipe, certificate, rules, session, Preprocessor(recipe.preprocess, f"{folder}/recipe.json")
        )

    @property
    def classes(self) -> list[str]:
        return self.recipe.classes

    @cached_property
    def training(self) -> Training:
        """The images it learned from."""
        return self._images(FILE)

    @cached_property
    def held_out(self) -> Training:
        """Those of validation and test."""
        return self._images(HELD_OUT)

    def _images(self, name: str) -> Training:
        """Read when somebody asks, perhaps long after the rest: checked again.

        Raises:
            UserError: it is missing, is not the file that was certified, or the certificate does not list it.
        """
        remedy = _remedy(self.folder)
        if name not in self.certificate.files:
            place = self.folder / certificates.FILE
            raise UserError(f"{place}: has no checksum of {name}, so a change would not be noticed. {remedy}")
        certificates.check(self.folder, {name: self.certificate.files[name]}, remedy)
        return Training.read(self.folder, remedy, name)

    @property
    def needs_mask(self) -> bool:
        """Whether it answers only about images that come with a mask: it learned from images cropped to theirs."""
        crop = self.preprocessor.crop_to_mask
        return crop is not None and crop.without_mask == "refuse"

    def preprocess(self, data: bytes, name: str, mask: bytes | None = None) -> np.ndarray:
        """The bytes of an image file -> uint8 H×W×C, as the images that it learned from. `name`: in messages.

        Raises:
            UnreadableImage: it cannot be decoded.
            UserError: a step cannot be applied, or it needs a mask.
        """
        return self.preprocessor(data, name, mask)

    def predict(self, images: np.ndarray) -> Answers:
        """uint8 B×H×W×C, as `preprocess` gives them."""
        return answers(self.session, images)

    def decide(self, answers: Answers) -> list[Decision]:
        """One for each image.

        Raises:
            UserError: a probability is not a number: below every threshold, it would be called healthy.
        """
        if not (np.isfinite(answers.scores).all() and np.isfinite(answers.probabilities).all()):
            raise UserError(f"{self.recipe.key}: the network gives numbers that are not finite for this image.")
        return self.rules.decide(answers.scores)


def answers(session: Session, images: np.ndarray) -> Answers:
    """Raises UserError for images of another size."""
    images = np.ascontiguousarray(images)
    if images.dtype != np.uint8 or images.shape[1:] != session.size:
        expected = "×".join(map(str, session.size))
        raise UserError(
            f"images: expected uint8 B×{expected}, found {images.dtype} {'×'.join(map(str, images.shape))}."
        )
    outputs = session(images)
    return Answers(outputs["logits"], outputs["probabilities"], outputs["features"], outputs.get("maps"))


def _remedy(folder: Path) -> str:
    """How to get an export that can be read. Elsewhere than in models/onnx, the folder is not named after the model."""
    if folder.parent.name == ROOT.name:
        return f"Run `python -m stages export {folder.name}`."
    return "Make it anew with `python -m stages export <key>`, and copy or register that."
