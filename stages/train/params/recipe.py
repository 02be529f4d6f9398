"""The recipe: loss, optimiser, schedule, mixing, averaging, and when to stop.

The members of the unions Loss, Optimizer and Schedule differ by `name`. A name alone stands for its defaults
(`schedule: cosine`), settings without a name for the first of the union (`optimizer: {lr: 0.01}` is Adam).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, model_validator

from ...shared.core.settings import Settings
from .types import Share

Part = Annotated[float, Field(gt=0, lt=1)]


def _named(default: str) -> Callable[[Any], Any]:
    def complete(value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        return {"name": default, **value} if isinstance(value, Mapping) else value

    return complete


class CrossEntropy(Settings):
    name: Literal["cross_entropy"] = "cross_entropy"
    """-log of the probability given to the true class."""
    label_smoothing: Share = 0.0
    """Share of each target that is spread evenly over all classes (Szegedy et al. 2016)."""


class Focal(Settings):
    name: Literal["focal"] = "focal"
    """Cross-entropy times (1 - p)^gamma: images that are already right weigh little (Lin et al. 2017)."""
    gamma: NonNegativeFloat = 2.0
    """0 is cross-entropy; the larger, the less the easy images weigh. Above 0, probabilities are drawn towards 1/K."""
    label_smoothing: Share = 0.0
    """Share of each target that is spread evenly over all classes."""


class CostSensitive(Settings):
    name: Literal["cost_sensitive"] = "cost_sensitive"
    """Cross-entropy in which an image of any class but the first weighs `miss_cost` times as much (Elkan 2001). The
    probabilities are then those of a population in which illness is `miss_cost` times as common, so the likeliest
    class is the cheapest decision: ill from a true probability of 1 / (1 + miss_cost) on, where there are two classes.
    Class weights multiply on top of it: set class_weights to none where the cost alone shall decide."""
    miss_cost: PositiveFloat = 5.0
    """How many false alarms one miss costs; a miss is an image of any class but the first taken for another."""


class DiceCrossEntropy(Settings):
    name: Literal["dice_cross_entropy"] = "dice_cross_entropy"
    """Of segmentation: cross-entropy of the pixels, plus Dice (Isensee et al. 2021)."""
    dice_weight: PositiveFloat = 1.0
    """How much Dice counts beside cross-entropy."""
    label_smoothing: Share = 0.0
    """Share of each pixel's target that is spread evenly over all classes, in the cross-entropy."""


class Dice(Settings):
    name: Literal["dice"] = "dice"
    """Of segmentation: 1 minus the overlap of prediction and truth (Milletari et al. 2016). Alone it trains badly where
    many images are empty."""


class Tversky(Settings):
    name: Literal["tversky"] = "tversky"
    """Of segmentation: like Dice, with false and missed pixels weighted apart (Salehi et al. 2017)."""
    alpha: PositiveFloat = 0.3
    """Weight of the false pixels; with beta the same and 0.5 it is Dice."""
    beta: PositiveFloat = 0.7
    """Weight of the missed pixels: above alpha, fewer are missed."""


class ReconstructionError(Settings):
    name: Literal["reconstruction"] = "reconstruction"
    """Of anomaly detection: the mean squared error of the image that an autoencoder draws, in grey levels of 0…1. Only
    normal images count, in training and in val_loss."""
    ssim: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of 1 - SSIM in its place (Wang et al. 2004): errors of structure weigh more than errors of brightness."""


Loss = Annotated[
    CrossEntropy | Focal | CostSensitive | DiceCrossEntropy | Dice | Tversky | ReconstructionError,
    Field(discriminator="name"),
    BeforeValidator(_named("cross_entropy")),
]


class Descent(Settings):
    """What the settings of every optimiser share."""

    name: str
    lr: PositiveFloat = 1e-3
    """Learning rate of the head; a strategy scales it for the backbone."""
    weight_decay: NonNegativeFloat = 0.0
    """L2 penalty, added to the gradient; under adamw decoupled: every step shrinks the weights by lr × weight_decay,
    whatever the gradient. Never on norms and biases."""


class Adam(Descent):
    name: Literal["adam", "adamw"] = "adam"
    """adam: Kingma & Ba 2015. adamw: Loshchilov & Hutter 2019."""
    betas: tuple[Share, Share] = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square."""


class Sgd(Descent):
    name: Literal["sgd"] = "sgd"
    """Stochastic gradient descent with momentum."""
    momentum: Share = 0.9
    """Share of the last step that is carried on."""
    nesterov: bool = False
    """Nesterov's momentum: the gradient as if the carried step had been taken."""

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Sgd:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0. Give momentum: 0.9, or nesterov: false.")
        return self


class RmsProp(Descent):
    name: Literal["rmsprop"] = "rmsprop"
    """Tieleman & Hinton 2012."""
    alpha: Share = 0.99
    """Decay of the running mean of the squared gradient."""
    momentum: Share = 0.0
    """Share of the last step that is carried on."""


Optimizer = Annotated[Adam | Sgd | RmsProp, Field(discriminator="name"), BeforeValidator(_named("adam"))]


class WarmUp(Settings):
    """What the settings of most schedules share."""

    name: str
    warmup_epochs: NonNegativeFloat = 0.0
    """Epochs in which the rates rise evenly, step by step, from 1% to full; the schedule fills the rest."""


class Constant(WarmUp):
    name: Literal["constant"] = "constant"
    """The rates as they are."""


class Cosine(WarmUp):
    name: Literal["cosine"] = "cosine"
    """Falling step by step along half a cosine over all epochs (SGDR, Loshchilov & Hutter 2017, without restarts)."""
    final: Share = 0.0
    """Share of the rates that is left at the end."""


class Step(WarmUp):
    name: Literal["step"] = "step"
    """Lowered at fixed intervals."""
    every: Annotated[int, Field(ge=1)] = 10
    """Epochs between two falls, counted from the end of the warm-up."""
    factor: Part = 0.1
    """Each fall multiplies the rates by this."""


class Plateau(WarmUp):
    name: Literal["plateau"] = "plateau"
    """Lowered when what early_stopping monitors does not improve (by 0.01% of its best, as torch has it). Epochs of the
    warm-up do not count."""
    factor: Part = 0.1
    """Each fall multiplies the rates by this."""
    patience: NonNegativeInt = 3
    """Epochs without improvement that are allowed; the next one lowers the rates. Keep it below early_stopping's, which
    would end the training first."""


class OneCycle(Settings):
    name: Literal["one_cycle"] = "one_cycle"
    """Up to the full rates and down again, along cosines, within the training (Smith & Topin 2018)."""
    peak_at: Part = 0.3
    """Share of the training after which the rates are full."""
    start: Part = 0.04
    """Share of the rates at the start."""
    end: Part = 4e-6
    """Share of the rates at the end."""


Schedule = Annotated[
    Constant | Cosine | Step | Plateau | OneCycle, Field(discriminator="name"), BeforeValidator(_named("constant"))
]


class Mix(Settings):
    name: Literal["mixup", "cutmix"]
    """mixup: each image and its target blended with another's (Zhang et al. 2018). cutmix: a rectangle of it replaced
    by another's, and that share of its target (Yun et al. 2019)."""
    alpha: PositiveFloat = 0.2
    """The share is drawn from Beta(alpha, alpha): small, mostly one of the two images; 1, any share alike."""


class Resize(Settings):
    start: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of the images' height and width in the first epoch. It rises evenly to 1, in steps of 16 pixels."""
    until: Part = 0.6
    """Share of the epochs after which training images have their full size."""


class Ema(Settings):
    decay: Part = 0.999
    """Of the running mean of the weights, per optimiser step: 0.999 averages over about the last thousand steps."""


class EarlyStopping(Settings):
    monitor: str = "val_loss"
    """What decides when to stop, and which epoch's weights are the best: val_loss, or a metric that the task watches
    (of classification: val_accuracy, val_auroc)."""
    patience: Annotated[int, Field(ge=1)] | None = 5
    """Epochs without improvement before it stops; null: never stop early."""
    min_delta: NonNegativeFloat = 0.0
    """Smaller gains do not count."""

    @property
    def mode(self) -> Literal["min", "max"]:
        return "min" if self.monitor == "val_loss" else "max"
