"""The section `tune` of params.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveFloat, model_validator

from ..shared.core.settings import Settings


class Range(Settings):
    """Numbers between two ends, both of them valid."""

    low: int | float
    """The lower end. Where both ends are whole numbers (1, not 1.0), so are the values."""
    high: int | float
    """The upper end."""
    log: bool = False
    """Every factor equally likely, in place of every difference: for learning rates and the like."""

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @model_validator(mode="after")
    def _ends(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"low: {self.low} is not below high: {self.high}. Swap them, or leave the setting out.")
        if self.log and self.low <= 0:
            raise ValueError(f"low: {self.low} has no logarithm. Give a low above 0, or log: false.")
        return self


class Median(Settings):
    name: Literal["median"] = "median"
    """Ends a trial whose best value so far is below the median of earlier trials at the same epoch."""
    warmup_epochs: NonNegativeInt = 3
    """Epochs of a trial before it may be ended."""
    startup_trials: NonNegativeInt = 4
    """Trials that run to their end before any other is ended."""


class Wilcoxon(Settings):
    name: Literal["wilcoxon"] = "wilcoxon"
    """Ends a trial that is worse than the best one on the folds so far (signed-rank test). Needs many folds."""
    p: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """The p-value below which it ends."""


class NoPruner(Settings):
    name: Literal["none"] = "none"
    """Every trial runs to its end."""


def _named(value: Any) -> Any:
    """A name alone stands for its defaults."""
    return {"name": value} if isinstance(value, str) else value


Pruner = Annotated[Median | Wilcoxon | NoPruner, Field(discriminator="name"), BeforeValidator(_named)]
Choices = Annotated[list[Any], Field(min_length=2)]
Space = Annotated[dict[str, Range | Choices], Field(min_length=1)]
DEFAULT_SPACE: Mapping[str, Any] = {
    "train.optimizer.lr": Range(low=1e-4, high=1e-2, log=True),
    "train.optimizer.weight_decay": Range(low=1e-6, high=1e-2, log=True),
}


class Params(Settings):
    """How `python -m stages tune` searches."""

    target: str | None = None
    """The model of the matrix whose settings are searched, such as small_cnn-fine_tune-full; null: it is named on the
    command line."""
    space: Space = dict(DEFAULT_SPACE)
    """By its place in params.yaml, each setting that is searched: {low, high, log}, or a list of choices. Settings of
    `train`, and of the target's own strategy and backbone."""
    trials: Annotated[int, Field(ge=2)] = 20
    """Of the search, and as many of the random search beside it."""
    folds: Annotated[int, Field(ge=1)] = 3
    """Validation folds that a trial is trained on, one after the other, and judged by their mean: that of the target's
    sample, then the next ones. At most preprocess.split.folds. With 1 there is no interval: other validation images
    were not asked."""
    metric: str | None = None
    """The validation metric that is maximised (val_loss: minimised), at the epoch whose weights would be kept; null:
    what train.early_stopping monitors."""
    sampler: Literal["tpe"] = "tpe"
    """What suggests the next settings: tree-structured Parzen estimators (Bergstra et al. 2011)."""
    pruner: Pruner = Median()
    """Which trials end early: median | wilcoxon | none."""
    confirm: Annotated[int, Field(ge=1)] = 2
    """With how many other seeds the best settings and the present ones are trained at the end. The values that chose
    them flatter them, and these do not."""
    timeout: PositiveFloat | None = None
    """Minutes after which no trial starts, for both searches together; null: none. The next call goes on."""
    seed: NonNegativeInt = 0
    """Of both searches."""

    @model_validator(mode="after")
    def _enough_folds(self) -> Params:
        if isinstance(self.pruner, Wilcoxon) and 2.0 ** -(self.folds - 1) > self.pruner.p:
            raise ValueError(
                f"pruner: wilcoxon cannot reach p: {self.pruner.p:g} before the last of {self.folds} folds (the "
                f"smallest p of {self.folds - 1} folds is {2.0 ** -(self.folds - 1):.2g}). Give more folds, or take "
                "median."
            )
        return self
