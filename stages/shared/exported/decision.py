"""decision.json: from a model's answers to decisions, as validation chose them and test patients judged them.

Every rule is evaluate's own, and looks at the probabilities that the network gives: calibration comes after it, and
changes no decision. Shapes: B images, K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from ..core.errors import UserError
from ..core.files import read_json, write_json
from ..core.settings import Settings
from ..measures.conformal import SCORES
from ..measures.reliability import SMALLEST
from .heat_maps import Checks
from .reading import Reading

FILE = "decision.json"


class Estimate(Settings):
    """A number, and its interval over patients. null: undefined."""

    value: float | None
    low: float | None
    high: float | None


class Point(Settings):
    """Where a class is called, and what follows."""

    threshold: float
    """Above it the class is called: of its probability before calibration."""
    calibrated: float | None
    """The same threshold among calibrated probabilities; null where there is no such number: with more than two classes
    calibration moves them together."""
    rule: str
    fallback: str | None
    """Why the rule could not choose, so that 0.5 decides."""
    prevalence: float
    """Of PPV and NPV."""
    validation: dict[str, float | None]
    """Sensitivity, specificity, …: on the images that chose the threshold."""
    test: dict[str, Estimate]
    """On patients of whom the model saw none, with intervals."""


class Curve(Settings):
    """Of one class against the rest: what each threshold of its calibrated probability would give."""

    positives: int
    negatives: int
    threshold: list[float]
    sensitivity: list[float]
    specificity: list[float]


class Calibration(Settings):
    """method: as fitted on the validation images."""

    method: Literal["temperature", "platt", "isotonic", "none"]
    parameters: dict[str, Any]
    images: int
    ece: Estimate
    """Calibration error on the test images, afterwards."""


class Conformal(Settings):
    """A set has every class whose score is at most its limit."""

    score: Literal["lac", "aps"]
    coverage: float
    """As promised."""
    limits: list[float | None]
    """null: this class is in every set, since it has too few validation images."""
    measured: Estimate
    """Coverage on the test images."""


class Abstention(Settings):
    """Less certain than `limit`: left to a human."""

    share: float
    limit: float
    left: Estimate
    """Share of the test images that it leaves."""


class TestedOn(Settings):
    """The test set."""

    patients: int
    images: int
    positives: int
    """Images of a class other than the first."""
    metric: str
    """The one that decides (compare.sort_by)."""
    label: str
    estimate: Estimate
    metrics: dict[str, Estimate]
    """All of them."""
    confidence: float


@dataclass(frozen=True)
class Decision:
    """Of one image. predicted: a class. above: classes that are called. prediction_set: classes that cannot be ruled
    out. abstain: it should be left to a human. confidence: what decides that."""

    predicted: str
    above: tuple[str, ...]
    prediction_set: tuple[str, ...]
    abstain: bool
    confidence: float

    @property
    def above_threshold(self) -> bool:
        return bool(self.above)


class Rules(Settings):
    """decision.json of a classifier."""

    classes: list[str]
    """In the order of the outputs; the first is the healthy one."""
    points: dict[str, Point]
    """Of two classes: of the second one; of more: of each."""
    calibration: Calibration
    conformal: Conformal
    abstention: Abstention
    tested_on: TestedOn
    curves: dict[Literal["validation", "test"], dict[str, Curve]]
    """By the class that they are of."""
    reading: Reading
    heat_maps: Checks = Checks()
    """Whether its heat maps show what it reads. An earlier version lacks it."""

    @property
    def positive(self) -> str | None:
        """Of two classes the one that is looked for."""
        return self.classes[1] if len(self.classes) == 2 else None

    def write(self, folder: Path) -> None:
        write_json(folder / FILE, self.model_dump(mode="json"))

    @classmethod
    def read(cls, folder: Path, remedy: str) -> Rules:
        try:
            return cls.model_validate(read_json(folder / FILE))
        except FileNotFoundError:
            raise UserError(f"{folder / FILE}: missing. {remedy}") from None
        except (ValidationError, ValueError) as error:
            raise UserError(f"{folder / FILE}: not a decision rule of this version ({error}). {remedy}") from None

    def decide(self, probabilities: np.ndarray) -> list[Decision]:
        """Of B×K probabilities before calibration (Answers.scores)."""
        p = np.asarray(probabilities, dtype=np.float64)
        thresholds = {self.classes.index(name): point.threshold for name, point in self.points.items()}
        called = np.stack([p[:, k] > at for k, at in thresholds.items()], axis=1)  # B×points
        if len(self.classes) == 2:
            (at,) = thresholds.values()
            predicted = called[:, 0].astype(int)
            at = min(max(at, SMALLEST), 1 - SMALLEST)
            weighed = p * np.array([at, 1 - at])  # what lies at the threshold is the least certain
            confidence = weighed[np.arange(len(p)), predicted] / weighed.sum(axis=1)
        else:
            predicted, confidence = p.argmax(axis=1), p.max(axis=1)
        limits = np.array([math.inf if limit is None else limit for limit in self.conformal.limits])
        inside = SCORES[self.conformal.score](p) <= limits
        names, ill = list(self.points), [k for k in thresholds if k > 0]
        return [
            Decision(
                predicted=self.classes[predicted[i]],
                above=tuple(self.classes[k] for k in ill if called[i, names.index(self.classes[k])]),
                prediction_set=tuple(name for name, own in zip(self.classes, inside[i], strict=True) if own),
                abstain=bool(confidence[i] < self.abstention.limit),
                confidence=float(confidence[i]),
            )
            for i in range(len(p))
        ]

    def read_out(self, decision: Decision) -> str:
        """A decision in plain words."""
        if decision.abstain:
            return self.reading.abstain
        return self.reading.above if decision.above_threshold else self.reading.below
