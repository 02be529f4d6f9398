"""What a training depends on: the `train` section, and one backbone, strategy and sample of their tables."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, model_validator

from ...shared.core.settings import Settings
from ...shared.core.task import TaskName
from ...shared.model.memories.settings import MEMORIES
from ...shared.model.recipe import Architecture
from .augment import Augment
from .backbone import Backbone
from .machine import Cache, Trainer
from .recipe import Adam, Constant, CrossEntropy, EarlyStopping, Ema, Loss, Mix, Optimizer, Resize, Schedule
from .sample import Sample
from .strategies import Strategy


class Params(Settings):
    """The `train` section, and what it takes from outside it."""

    task: TaskName
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    backbone: Backbone
    strategy: Strategy
    sample: Sample

    epochs: Annotated[int, Field(ge=1, le=100_000)]
    """At most so many."""
    min_steps_per_epoch: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """A small sample is passed through several times an epoch until it has this many steps. Samples of different size
    then differ less in their number of steps, but they still differ."""
    batch_size: Annotated[int, Field(ge=2, le=1_000_000)]
    """Images of one step of the optimiser, over all devices."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Parts that a batch is computed in, one after the other: less memory for the same step (BatchNorm sees a part)."""
    auto_batch: bool = False
    """Where memory does not suffice, double `accumulate` until it does; false: stop and say so."""
    sampling: Literal["shuffled", "balanced"] = "shuffled"
    """shuffled: every image once a pass. balanced: drawn with replacement, all classes equally often."""
    optimizer: Optimizer = Adam()
    """Which one, its rate and its weight decay (never on norms and biases)."""
    schedule: Schedule = Constant()
    """Of the learning rates, over `epochs`."""
    loss: Loss = CrossEntropy()
    """What the training minimises."""
    class_weights: Literal["balanced", "none"] = "balanced"
    """balanced: each class weighs N / (K · N_class) in the loss, as scikit-learn has it."""
    gradient_clip: PositiveFloat | None = None
    """Largest norm of a step's gradient; null: no limit."""
    ema: Ema | None = None
    """Exponential moving average of the weights, which is then what validates and is kept; null: none."""
    mix: Mix | None = None
    """mixup or cutmix between images of a batch; null: none."""
    resize: Resize | None = None
    """Progressive resizing: small images in the first epochs, which then take less time; null: the full size always.
    Validation always has it. Frozen blocks are then computed in every epoch (see `cache`)."""
    early_stopping: EarlyStopping = EarlyStopping()
    """When to stop, and which epoch is the best."""
    augment: Augment = []
    """albumentations transforms by name, applied to training images in this order; or the name of a ready list."""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Lightning's name for it; auto: bf16-mixed where the processor computes bfloat16 natively (GPUs of compute
    capability 8 or more, CPUs with AVX-512 BF16 or AMX), else 32-true, which is the reference. A memory is fitted in
    float32 always."""
    channels_last: bool | Literal["auto"] = True
    """Memory layout of the weights; auto: true on CPUs and NVIDIA GPUs, whose convolutions are faster so."""
    compile: bool = False
    """torch.compile: minutes at the start, for long trainings on GPUs."""
    workers: NonNegativeInt | Literal["auto"] = "auto"
    """Processes that augment images; auto: none on a CPU, where training needs the cores itself."""
    cache: Cache = Cache()
    """Of the outputs of a backbone's frozen part."""
    trainer: Trainer = Trainer()
    """Devices and nodes."""

    @property
    def training_seed(self) -> int:
        """Of this training: the study's seed and its sample's."""
        return self.seed + self.sample.seed

    @property
    def architecture(self) -> Architecture:
        """The network: the backbone's, with the memory that the strategy fits, if it is one that does."""
        if isinstance(self.strategy, MEMORIES):
            return self.backbone.architecture.model_copy(update={"memory": self.strategy})
        return self.backbone.architecture

    @model_validator(mode="after")
    def _they_agree(self) -> Params:
        if self.strategy.plan != "from_scratch" and self.backbone.weights == "none":
            raise ValueError(
                f"strategy {self.strategy.plan!r} starts from pretrained weights, and backbone {self.backbone.name!r} "
                "has weights: none. Give it weights (imagenet, or a .safetensors file), or take it out of the matrix."
            )
        if isinstance(self.strategy, MEMORIES) and self.trainer.world > 1:
            raise ValueError(
                f"strategy {self.strategy.plan!r} is fitted by one process; found trainer.devices × num_nodes = "
                f"{self.trainer.world}. Set trainer.devices: 1 and trainer.num_nodes: 1."
            )
        if self.sampling == "balanced" and self.class_weights == "balanced":
            raise ValueError(
                "sampling: balanced and class_weights: balanced would count rare classes twice. Set one of them to "
                "shuffled or none."
            )
        warm_up = getattr(self.schedule, "warmup_epochs", 0)  # one_cycle has none
        if warm_up >= self.epochs:
            raise ValueError(
                f"schedule.warmup_epochs: {warm_up:g} epochs of warm-up leave nothing of a training of {self.epochs}. "
                "Give fewer, or raise epochs."
            )
        if self.compile and self.mix is not None:
            raise ValueError("compile: true does not go with mix, whose step is not compiled. Leave one of them out.")
        parts = self.accumulate * self.trainer.world
        if self.batch_size < 2 * parts:
            raise ValueError(
                f"batch_size {self.batch_size} cannot be cut into accumulate × devices × num_nodes = {parts} parts of "
                f"2 images or more (BatchNorm needs 2). Raise batch_size to {2 * parts}, or lower accumulate."
            )
        return self
