"""What the server answers, as its page of the interface (/docs) shows it."""

from __future__ import annotations

import base64

import numpy as np
from pydantic import BaseModel, ConfigDict

from ...shared.exported.decision import Estimate
from ...shared.exported.heat_maps import Checks
from .. import heat
from ..service import Answer, Service

WARNING = "Research and teaching only. Not for diagnosis."
NO_MAPS = (
    "The head of this model is not linear on a mean of cells, so its export carries no maps. "
    "`python -m stages explain` makes them, with torch."
)


class Reply(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class OperatingPoint(Reply):
    """Where a class is called. Chosen on validation images, judged on test patients."""

    threshold: float
    """Of the probability before calibration."""
    calibrated: float | None
    """The same among the probabilities of the answer; null: more than two classes, which calibration moves together."""
    rule: str
    """How it was chosen."""
    above: bool
    """Whether this image is above it."""
    sensitivity: Estimate
    """On the test patients, with its interval."""
    specificity: Estimate
    """On the test patients, with its interval."""


class HeatMap(Reply):
    """Where the image speaks for the predicted class and against the others."""

    of: str
    """The class."""
    values: list[list[float]] | None
    """Rows of cells, from 0 to 1."""
    png: str | None
    """The image as the model saw it, with the map over it: PNG, base64."""
    reason: str | None
    """Why there is none."""
    checks: Checks
    """Whether such maps show what this model reads: the verdict of the report."""


class Certificate(Reply):
    """How far the export is from the trained model on test images."""

    images: int
    largest_difference: float
    """Of a probability."""
    tolerance: float
    made_at: str


class Model(Reply):
    """What answered."""

    version: str
    """In the registry, or its folder."""
    key: str
    """Backbone, strategy and sample."""
    onnx_sha256: str
    certificate: Certificate


class Prediction(Reply):
    """About one image."""

    predicted: str
    """Of two classes the one that the operating point calls; of more the most probable one, before calibration."""
    probabilities: dict[str, float]
    """Calibrated: of 100 images with 0.8, about 80 are of that class."""
    operating_points: dict[str, OperatingPoint]
    """By class: of two classes, that of the second one."""
    prediction_set: list[str]
    """Classes that cannot be ruled out."""
    coverage: float
    """How often such a set has the true class, as promised."""
    abstain: bool
    """Whether the model is too uncertain here, so that a human should look without it."""
    reading: str
    """The answer in plain words."""
    model: Model
    heatmap: HeatMap | None = None
    """Where it was asked for."""
    warning: str = WARNING


class Ready(Reply):
    """Whether a model answers, and what became of the last one that was to take over."""

    ready: bool
    version: str | None
    refused: str | None
    """Version of a candidate that was broken, and why."""
    registry: str | None
    """What it said last, where that was no version."""


class Health(Reply):
    status: str = "ok"


EXAMPLE = {
    "predicted": "pneumonia",
    "probabilities": {"normal": 0.08, "pneumonia": 0.92},
    "operating_points": {
        "pneumonia": {
            "threshold": 0.44,
            "calibrated": 0.41,
            "rule": "youden",
            "above": True,
            "sensitivity": {"value": 0.88, "low": 0.78, "high": 0.94},
            "specificity": {"value": 0.86, "low": 0.74, "high": 0.93},
        }
    },
    "prediction_set": ["pneumonia"],
    "coverage": 0.9,
    "abstain": False,
    "reading": "Above the threshold: a radiologist should look at this first.",
    "model": {
        "version": "models:/lightbox/3",
        "key": "small_cnn-fine_tune-full",
        "onnx_sha256": "9f2c…",
        "certificate": {
            "images": 60,
            "largest_difference": 2.4e-07,
            "tolerance": 0.0001,
            "made_at": "2026-11-26T12:00:00Z",
        },
    },
    "warning": WARNING,
}


def model_of(service: Service) -> Model:
    own = service.export.certificate
    certificate = Certificate(
        images=own.images,
        largest_difference=own.largest_difference,
        tolerance=own.tolerance,
        made_at=own.made_at,
    )
    return Model(version=service.version, key=own.key, onnx_sha256=own.onnx_sha256, certificate=certificate)


def prediction(service: Service, answer: Answer, heatmap: HeatMap | None) -> Prediction:
    rules, decision = service.export.rules, answer.decision
    probabilities = {name: round(float(p), 6) for name, p in zip(rules.classes, answer.probabilities, strict=True)}
    points = {
        name: OperatingPoint(
            threshold=point.threshold,
            calibrated=point.calibrated,
            rule=point.rule,
            above=name in decision.above,
            sensitivity=point.test["sensitivity"],
            specificity=point.test["specificity"],
        )
        for name, point in rules.points.items()
    }
    return Prediction(
        predicted=decision.predicted,
        probabilities=probabilities,
        operating_points=points,
        prediction_set=list(decision.prediction_set),
        coverage=rules.conformal.coverage,
        abstain=decision.abstain,
        reading=answer.reading,
        model=model_of(service),
        heatmap=heatmap,
    )


def heat_map(service: Service, answer: Answer, image: np.ndarray) -> HeatMap:
    """image: uint8 H×W×C, as the model saw it."""
    name, checks = answer.decision.predicted, service.export.rules.heat_maps
    if answer.maps is None:
        return HeatMap(of=name, values=None, png=None, reason=NO_MAPS, checks=checks)
    values = heat.evidence(answer.maps, service.export.classes.index(name))
    png = base64.b64encode(heat.png(image, values)).decode("ascii")
    rounded = [[round(float(value), 4) for value in row] for row in values]
    return HeatMap(of=name, values=rounded, png=png, reason=None, checks=checks)
