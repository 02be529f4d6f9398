"""The training step, and the plan applied epoch by epoch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm
from torchmetrics import MeanMetric, MetricCollection

from ...shared.model.model import Model
from ...shared.tasks.task import Loss
from ..batches import Batch
from ..params.recipe import Mix, Optimizer
from ..plan.apply import ever_learning, frozen_in, frozen_throughout, groups_of, set_gradients, set_modes
from ..plan.strategies import Epoch, Plan
from ..recipe.batchnorm import settle
from ..recipe.mixing import mix
from ..recipe.optimizers import make_optimizer
from ..recipe.resizing import Size, resized, resized_targets
from ..recipe.schedules import Schedule

Forward = Callable[..., torch.Tensor]
SETTLING = 128  # images, the last of an epoch, by which BatchNorm's statistics are estimated before it is judged
CHECK_EVERY = 32  # steps between two looks at whether the losses are finite, on a GPU


class NotFinite(Exception):
    """The loss of a batch is NaN or infinite. Holds the value and the batch's rows."""

    def __init__(self, loss: float, rows: Sequence[int]) -> None:
        super().__init__(f"the loss is {loss}")
        self.loss, self.rows = loss, list(rows)


class Learner(pl.LightningModule):
    """A model under a plan. Every epoch it logs val_loss and the metrics `watched`.

    loss: one value per image. watched: updated with (outputs, targets). monitor: the logged value that the schedule
    follows. sizes: of the training images in each epoch; none: as they come. idle:
    parameters that the outputs do not depend on. ema: a callback averages the weights.
    forward_from: turns a batch's inputs into logits where the model itself does not: the rest of the model behind a
    cached prefix, or a compiled form. It shares the model's parameters.
    """

    def __init__(
        self,
        model: Model,
        plan: Plan,
        *,
        loss: Loss,
        watched: MetricCollection,
        optimizer: Optimizer,
        schedule: Schedule,
        monitor: str,
        seed: int,
        mix: Mix | None = None,
        sizes: Sequence[Size] = (),
        idle: frozenset[nn.Parameter] = frozenset(),
        ema: bool = False,
        forward_from: Forward | None = None,
    ) -> None:
        super().__init__()
        self.model, self.plan, self.loss, self.watched = model, plan, loss, watched
        self.optimizer, self.schedule, self.monitor = optimizer, schedule, monitor
        self.seed, self.mix, self.sizes, self.idle, self.ema = seed, mix, sizes, idle, ema
        self.train_loss, self.val_loss = (MeanMetric(nan_strategy="disable") for _ in range(2))
        self.monitored: list[float] = []  # per finished epoch
        self.frozen: set[str] = set()
        self._forward = (forward_from or model,)  # in a tuple: no submodule, or its weights would be saved twice
        self.norms: list[BatchNorm] = []  # of the groups that learn
        self._recent: deque[tuple[torch.Tensor, ...]] = deque()  # inputs of the last steps
        self._unchecked: list[tuple[torch.Tensor, torch.Tensor]] = []  # sums of losses, and the rows of the batch
        self.apply_plan(plan[0])

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._forward[0](*inputs)
        return logits.float()

    def apply_plan(self, epoch: Epoch) -> None:
        self.frozen = frozen_in(epoch)
        # DDP takes note once, at the start, of who will ever need a gradient
        learning = ever_learning(self.plan) if dist.is_initialized() else epoch.keys() - self.frozen
        set_gradients(self.model, learning, self.idle)
        self.train(self.training)
        norms = (module for module in self.model.modules() if isinstance(module, BatchNorm) and module.training)
        self.norms = [norm for norm in norms if norm.track_running_stats]

    def train(self, mode: bool = True) -> Learner:
        """Frozen groups stay in eval mode."""
        super().train(mode)
        if mode:
            set_modes(self.model, self.frozen)
        return self

    def setup(self, stage: str) -> None:
        self.apply_plan(self.plan[0])  # again: only now does it show whether DDP trains

    def configure_optimizers(self) -> torch.optim.Optimizer:
        rates = {name: self.optimizer.lr * (rate or 0.0) for name, rate in self.plan[0].items()}
        groups = groups_of(self.model).items()
        return make_optimizer(self.optimizer, [{"params": p, "name": n, "lr": rates[n]} for n, p in groups])

    def on_train_epoch_start(self) -> None:
        self.apply_plan(self.plan[self.current_epoch])
        self.train_loss.reset()

    def training_step(self, batch: Batch, number: int) -> torch.Tensor:
        if len(self._unchecked) >= (CHECK_EVERY if self.device.type == "cuda" else 1):
            self._check_losses()
        seed = np.random.SeedSequence([self.seed, self.current_epoch, number, self.global_rank]).generate_state(1)
        torch.manual_seed(int(seed[0]))  # dropout, mixing: as if never interrupted, whoever drew numbers in between
        if self.norms:
            self._remember(batch)  # at full size, as it is validated
        if self.sizes:
            size = self.sizes[self.current_epoch]
            inputs, targets = resized(batch.inputs[0], size), resized_targets(batch.targets, size)
            batch = batch._replace(inputs=(inputs,), targets=targets)
        logits, targets = self._mixed(batch) if self.mix else (self(*batch.inputs), batch.targets)
        losses = self.loss(logits, targets)
        self._unchecked.append((losses.detach().sum(), batch.rows))
        self.train_loss.update(losses.detach())
        # summed over parts and devices this is the mean over the whole batch: Lightning divides by the former, DDP by
        # the latter
        loss: torch.Tensor = losses.sum() / batch.whole * self.trainer.accumulate_grad_batches * self.trainer.world_size
        return loss

    def _remember(self, batch: Batch) -> None:
        """The inputs of the last SETTLING images, in as many steps as in the other processes."""
        part = batch.whole / (self.trainer.accumulate_grad_batches * self.trainer.world_size)
        self._recent.append(batch.inputs)
        while len(self._recent) > max(1, SETTLING / part):
            self._recent.popleft()

    def _mixed(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """(logits, soft targets) of a batch whose images are mixed with one another."""
        assert self.mix is not None
        images, soft = self.model.normalise(batch.inputs[0]), self.loss.soft(batch.targets)
        mixed, targets = mix(images, soft, self.mix, torch.default_generator)
        return self.model.of_normalised(mixed).float(), targets

    def _check_losses(self) -> None:
        """Now and then: asking an accelerator for a number means waiting for all its work."""
        sums = torch.stack([loss for loss, _ in self._unchecked]) if self._unchecked else torch.zeros(1)
        for n in (~torch.isfinite(sums)).nonzero().flatten().tolist()[:1]:
            raise NotFinite(float(sums[n]), self._unchecked[n][1].tolist())
        self._unchecked.clear()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        epoch, factor = self.plan[self.current_epoch], self.schedule.factor(self.trainer.global_step, self.monitored)
        for group in optimizer.param_groups:
            group["lr"] = self.optimizer.lr * factor * (epoch[group["name"]] or 0.0)
            if group["name"] in self.frozen:
                for parameter in group["params"]:
                    parameter.grad = None

    def on_validation_epoch_start(self) -> None:
        self.val_loss.reset()
        self.watched.reset()
        with self.trainer.precision_plugin.forward_context():
            settle(self.norms, self, self._recent)
        self._recent.clear()

    def validation_step(self, batch: Batch, _: int) -> None:
        logits = self(*batch.inputs)
        losses = self.loss(logits, batch.targets)
        self._unchecked.append((losses.sum(), batch.rows))
        self.val_loss.update(losses)
        self.watched.update(logits, batch.targets)

    def on_validation_epoch_end(self) -> None:
        self._check_losses()
        self.log("val_loss", self.val_loss)
        self.log_dict(self.watched)

    def on_train_epoch_end(self) -> None:
        self.monitored.append(float(self.trainer.callback_metrics[self.monitor]))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Without what never changes: it is most of the file, in every epoch."""
        checkpoint["monitored"] = self.monitored
        for name in self._constant():
            del checkpoint["state_dict"][name]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.monitored = list(checkpoint["monitored"])
        checkpoint["state_dict"] |= self._constant()

    def _constant(self) -> dict[str, torch.Tensor]:
        """Parameters and buffers of the blocks that are frozen throughout; the weights the training starts from."""
        if self.ema:  # its callback wants everything
            return {}
        parts = [part for block in frozen_throughout(self.plan) for part in self.model.backbone.blocks[block]]
        prefixes = tuple(f"model.backbone.network.{part}" for part in parts)
        own = self.state_dict()
        return {n: t for n, t in own.items() if any(n == p or n.startswith(p + ".") for p in prefixes)}
