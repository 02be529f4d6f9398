"""certificate.json: how far an export is from the model it was made of, and the digests of its files.

It is no signature: it shows damage and mistakes, not an attacker who can write to the folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from ..core.errors import UserError
from ..core.files import read_json, sha256, write_json
from ..core.settings import Settings

FILE = "certificate.json"
Runtime = Literal["onnx", "openvino"]
Precision = Literal["float32", "int8"]
Preset = Literal["all operations", "convolutions alone"]
"""What has 8-bit integers. convolutions alone: those that do the work, and no gate, head or sum."""
ONNX = "model.onnx"
REQUIRED: Mapping[Runtime, tuple[str, ...]] = {
    "onnx": ("recipe.json", "decision.json", ONNX),
    "openvino": ("recipe.json", "decision.json", ONNX, "model.xml", "model.bin"),
}
"""Files that decide an answer: each has to be listed, else a change of it would not be noticed."""
BATCHES = (1, 2, 5)
TOLERANCE = 1e-4
"""Of a probability, in float32."""
LEAST_SPREAD = 1e-3
"""Where all images get the same probabilities, agreement shows nothing."""


class Sensitivity(Settings):
    """Of an INT8 model and the trained one, on the same test images at the operating point: the loss of sensitivity,
    and the upper end of its 95% interval over patients."""

    positives: int
    loss: float
    high: float
    margin: float


class Certificate(Settings):
    """What was compared, with what result."""

    key: str
    runtime: Runtime
    precision: Precision
    files: dict[str, str]
    """SHA-256 of every other file of the folder, by name."""
    weights_sha256: str
    """Of models/<key>/weights.safetensors, which it was made of."""
    evaluation_sha256: str = ""
    """Of reports/evaluate/<key>/metrics.json, whose threshold and calibration it has; empty: an earlier version."""
    onnx_sha256: str
    """Of model.onnx, as recipe.json has it."""
    images: int
    """Test images that were compared."""
    batches: tuple[int, ...]
    """Sizes of the batches in which the export saw all of them."""
    largest_difference: float
    """Of a probability, before or after calibration, over all images, classes and batch sizes."""
    differences: dict[str, float]
    """The largest one of each output."""
    probabilities_spread: float
    """Largest minus smallest probability of a class over these images: of the class where that is largest."""
    tolerance: float
    sensitivity: Sensitivity | None = None
    """Of an INT8 model."""
    presets: dict[Preset, float] = {}
    """Of an INT8 model: those that were tried, with the largest difference of a probability on validation images; the
    one with the smallest was taken."""
    versions: dict[str, str]
    """Of the libraries that wrote and ran it."""
    made_at: str
    """UTC."""

    @property
    def digest(self) -> str:
        """SHA-256 of all files: another one where the network, a threshold or a sentence is another."""
        return hashlib.sha256(json.dumps(self.files, sort_keys=True).encode()).hexdigest()

    @property
    def recipe_sha256(self) -> str:
        return self.files["recipe.json"]

    @property
    def passed(self) -> bool:
        """Whether the export may be served."""
        alike = self.largest_difference <= self.tolerance and self.probabilities_spread >= LEAST_SPREAD
        return alike and (self.sensitivity is None or self.sensitivity.high < self.sensitivity.margin)

    def reason(self) -> str:
        """Why it did not pass."""
        if self.probabilities_spread < LEAST_SPREAD:
            return constant(self.images, self.probabilities_spread)
        tried = ", ".join(f"{preset} {own:.2g}" for preset, own in sorted(self.presets.items()))
        tried = f" (8-bit integers on validation images: {tried})" if tried else ""
        if not self.largest_difference <= self.tolerance:
            return (
                f"a probability differs by {self.largest_difference:.2g} from the trained model's, and at most "
                f"{self.tolerance:g} is allowed{tried}"
            )
        assert self.sensitivity is not None
        lost = self.sensitivity
        return (
            f"it may lose {lost.high:.1%} of sensitivity at the operating point (95% interval over the patients of "
            f"{lost.positives} positive test images), and the margin is {lost.margin:.1%}; a probability differs by up "
            f"to {self.largest_difference:.2g}{tried}"
        )

    def write(self, folder: Path) -> None:
        write_json(folder / FILE, self.model_dump(mode="json"))


def constant(images: int, spread: float) -> str:
    """Why a model that always says the same is not exported."""
    return (
        f"all {images} test images get the same probabilities (they differ by {spread:.1g}), so agreement would show "
        "nothing. Train it longer, or choose another model"
    )


def read(folder: Path, remedy: str) -> Certificate:
    """The certificate of a folder whose files are all as it says.

    Raises:
        UserError: there is none, it did not pass, or a file is missing or has changed. `remedy`: the last sentence.
    """
    path = folder / FILE
    try:
        certificate = Certificate.model_validate(read_json(path))
    except FileNotFoundError:
        raise UserError(f"{path}: missing, so nobody knows whether this model answers right. {remedy}") from None
    except (ValidationError, ValueError) as error:
        raise UserError(f"{path}: not a certificate of this version ({error}). {remedy}") from None
    if not certificate.passed:
        raise UserError(f"{path}: this export did not pass: {certificate.reason()}. {remedy}")
    if missing := [name for name in REQUIRED[certificate.runtime] if name not in certificate.files]:
        raise UserError(f"{path}: has no checksum of {', '.join(missing)}, so a change would not be noticed. {remedy}")
    check(folder, certificate.files, remedy)
    if certificate.files.get(ONNX) != certificate.onnx_sha256:
        raise UserError(f"{path}: onnx_sha256 is not that of {ONNX} in its own list. {remedy}")
    return certificate


def check(folder: Path, files: Mapping[str, str], remedy: str) -> None:
    """Raises UserError where a file is missing, or its SHA-256 is another one."""
    for name, digest in files.items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise UserError(f"{path}: missing. {remedy}")
        if sha256(path) != digest:
            raise UserError(f"{path}: not the file that was certified (checksum differs). {remedy}")
