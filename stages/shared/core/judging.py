"""How predictions are judged: the `evaluate` section of params.yaml, which the floors are judged by as well."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from .settings import Settings, without

Share = Annotated[float, Field(gt=0, lt=1)]


class OperatingPoint(Settings):
    """From which score on an image is called positive. Chosen on the validation images alone; where they are of one
    kind, or all have the same score, a probability of 0.5 decides, and metrics.json says so."""

    rule: Literal["youden", "sensitivity", "specificity", "cost", "normal_quantile"] = "youden"
    """youden: where sensitivity + specificity is highest. sensitivity: the highest specificity with at least the
    sensitivity below. specificity: the reverse. cost: the least cost of misses and false alarms. normal_quantile, of
    task anomaly alone: above so many normal images that a further one, of the same kind, is a false alarm with at most
    the probability `false_alarms`, whatever the anomalies are."""
    sensitivity: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Of rule sensitivity: at least this, on the validation images."""
    specificity: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Of rule specificity: at least this, on the validation images."""
    miss_cost: Annotated[float, Field(gt=0)] = 1.0
    """Of rule cost: what a missed case costs, in false alarms. It counts how common cases are: as among the validation
    images, or as `prevalence` says."""
    false_alarms: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Of normal_quantile. A share of 0.05 needs 19 normal validation images, 0.01 needs 99."""


class Conformal(Settings):
    """Sets of classes that contain the true one with a promised probability."""

    score: Literal["lac", "aps"] = "lac"
    """lac: every class that is probable enough; the smallest sets (Sadinle et al. 2019). aps: the most probable
    classes, until their sum is large enough; larger sets for hard images than for easy ones (Romano et al. 2020)."""
    coverage: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """The promised probability. A coverage of 0.9 needs 9 validation images, 0.99 needs 99; of each class with
    `per_class`. With fewer a set has all classes."""
    per_class: bool = True
    """true: the promise holds for the images of each class (Mondrian). false: only for all images together, and a rare
    class may be left out of most of its sets."""


class Uncertainty(Settings):
    """Predictions made several times; 0 passes: not at all. Each takes as long as that many predictions."""

    mc_dropout: Annotated[int, Field(ge=0, le=1000)] = 0
    """Passes with the dropout of training (Gal & Ghahramani 2016); 30 are usual. Where only the head has dropout, the
    backbone is computed once."""
    tta: Annotated[int, Field(ge=0, le=1000)] = 0
    """Augmented views of each image, by the steps of train.augment."""


class Subgroups(Settings):
    min_patients: Annotated[int, Field(ge=2)] = 10
    """Test patients that a group needs to be given scores; smaller ones are listed with their counts."""
    bins: dict[str, Annotated[list[float], Field(min_length=1)]] = {}
    """Edges between the groups of metadata that are numbers, by name, such as age: [18, 65]. Without: ages by decade,
    other numbers by thirds of the test images."""


class Cost(Settings):
    """How the time of a prediction is measured."""

    seconds: Annotated[float, Field(gt=0, le=600)] = 0.1
    """To spend on each batch size, 1 and 32 images; at least 5 passes, and one where a pass takes 10 times as long."""
    threads: Annotated[int, Field(ge=1)] = 1
    """Of the processor. A fixed number, since other models may be evaluated at the same time."""


class Judging(Settings):
    """The `evaluate` section."""

    bootstrap: Annotated[int, Field(ge=100)] = 10_000
    """Bootstrap draws of the test patients behind each interval: so many that another seed hardly moves it."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Coverage of the intervals."""
    surface_tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.005
    """Segmentation: how far a boundary may be off and still count as right in the surface Dice, as a share of the
    diagonal of the image, so that it means the same at every size; at least one pixel. 0.005 is about 3 mm on a chest
    film of 35 × 43 cm, and 1.6 px of an image of 224 × 224."""
    operating_point: OperatingPoint = OperatingPoint()
    """Classification and anomaly detection: how the threshold is chosen. With more than two classes there is one for
    each class against the rest, and the predicted class stays the most probable one."""
    prevalence: Share | dict[str, Share] | None = None
    """Of the disease where the model is to be used: PPV and NPV of the operating point depend on it. With more than two
    classes a number for each, by name. null: as among the test images."""
    calibration: Literal["temperature", "platt", "isotonic", "none"] = "temperature"
    """Classification: how probabilities are calibrated, fitted on the validation images. temperature: one number; the
    predicted classes stay (Guo et al. 2017). platt: a line for each class; it also corrects the share of a class, which
    `train.class_weights: balanced` changes. isotonic: any rising curve; needs hundreds of images."""
    conformal: Conformal = Conformal()
    """Classification: sets of classes."""
    abstain: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Classification: share of the validation images that a model leaves to a human, the least certain ones."""
    uncertainty: Uncertainty = Uncertainty()
    """Classification: more than one prediction of each image."""
    subgroups: Subgroups = Subgroups()
    """Scores of groups of the test images: by site, metadata, folder, size, brightness and contrast."""
    failures: Annotated[int, Field(ge=0)] = 12
    """Most confident errors among the test images to list; of segmentation, images with the lowest Dice."""
    cost: Cost = Cost()
    """Time, memory and arithmetic of a prediction (cost.json)."""

    @model_validator(mode="before")
    @classmethod
    def _no_threshold(cls, values: Any) -> Any:
        return without(
            values, "threshold",
            "evaluate.operating_point decides now how thresholds are chosen, for classification as well: move rule and "
            "false_alarms there and remove this line.",
        )  # fmt: skip
