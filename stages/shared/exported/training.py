"""training.npz: the images that a model learned from, without pixels or names of files.

Shapes: N images that trained or validated, M of them described, F features, K classes.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.errors import UserError
from ..core.files import atomic

FILE = "training.npz"
FACTS = ("brightness", "contrast", "sharpness", "width", "height")
"""What validate measures of a file: mean and standard deviation of its grey levels, variance of the Laplacian, px."""
_FACT = "fact_"


@dataclass(frozen=True)
class Training:
    """Of all N: patients as in the index, sha256 of the files, splits (train or val; both shaped the model), labels.

    Of the M rows that `described` numbers, training images alone: features float16 M×F, calibrated probabilities
    float32 M×K, facts (FACTS) float64 M each, and rows of data/processed when it was exported.
    """

    patients: np.ndarray
    sha256: np.ndarray
    splits: np.ndarray
    labels: np.ndarray
    described: np.ndarray
    features: np.ndarray
    probabilities: np.ndarray
    facts: Mapping[str, np.ndarray]
    rows: np.ndarray

    def write(self, folder: Path) -> None:
        arrays = {name: value for name, value in vars(self).items() if name != "facts"}
        arrays |= {_FACT + name: values for name, values in self.facts.items()}
        with atomic(folder / FILE) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def read(cls, folder: Path, remedy: str) -> Training:
        """Raises UserError when the file is missing or damaged."""
        path = folder / FILE
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = dict(stored)
        except FileNotFoundError:
            raise UserError(f"{path}: missing. {remedy}") from None
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: damaged ({error}). {remedy}") from None
        facts = {name.removeprefix(_FACT): arrays.pop(name) for name in list(arrays) if name.startswith(_FACT)}
        return cls(**arrays, facts=facts)
