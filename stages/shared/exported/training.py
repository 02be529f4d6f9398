"""training.npz: the images that a model learned from, without pixels or names of files. held_out.npz: those that it was
validated and tested on, with which new images are compared.

Shapes: N images, M of them described, F features, K classes.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.errors import UserError
from ..core.files import atomic

FILE, HELD_OUT = "training.npz", "held_out.npz"
FACTS = ("brightness", "contrast", "sharpness", "width", "height")
"""What validate measures of a file: mean and standard deviation of its grey levels, variance of the Laplacian, px."""
_FACT = "fact_"


@dataclass(frozen=True)
class Training:
    """Of all N: patients as in the index, sha256 of the files, splits, labels. In training.npz the splits are train and
    val, which both shaped the model; in held_out.npz val and test.

    Of the M rows that `described` numbers, in training.npz training images alone: features float16 M×F, calibrated
    probabilities float32 M×K, facts (FACTS) float64 M each, and rows of data/processed when it was exported.
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

    def write(self, folder: Path, name: str = FILE) -> None:
        arrays = {field: value for field, value in vars(self).items() if field != "facts"}
        arrays |= {_FACT + fact: values for fact, values in self.facts.items()}
        with atomic(folder / name) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def read(cls, folder: Path, remedy: str, name: str = FILE) -> Training:
        """Raises UserError when the file is missing or damaged."""
        path = folder / name
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = dict(stored)
        except FileNotFoundError:
            raise UserError(f"{path}: missing. {remedy}") from None
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: damaged ({error}). {remedy}") from None
        facts = {key.removeprefix(_FACT): arrays.pop(key) for key in list(arrays) if key.startswith(_FACT)}
        return cls(**arrays, facts=facts)
