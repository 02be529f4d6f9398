"""The training step, and the plan applied: who learns, at what rate, in which epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torchmetrics.functional import auroc

from ...shared.core.errors import UserError
from ...shared.core.process import RANKS, rank
from ...shared.model.model import Classifier
from ..data.batches import Batch
from ..params import Params
from ..plan.apply import ever_learning, frozen_in, frozen_throughout, groups_of, set_gradients, set_modes
from ..plan.strategies import Epoch, Plan
from ..recipe.losses import make_loss
from ..recipe.mixing import mix
from ..recipe.optimizers import make_optimizer
from ..recipe.schedules import RateSchedule

Forward = Callable[..., torch.Tensor]
CHECK_EVERY = 32  # steps between two looks at whether the losses are finite, on a GPU


class NotFinite(Exception):
    """The loss of a batch is NaN or infinite. Holds the value and the batch's rows."""

    def __init__(self, loss: float, rows: Sequence[int]) -> None:
        super().__init__(f"the loss is {loss}")
        self.loss, self.rows = loss, list(rows)


class Learner(pl.LightningModule):
    """A classifier under a plan. Per epoch it logs val_loss, val_accuracy and val_auroc.

    `forward_from`: what turns a batch's inputs into logits, where that is not the model itself: the rest of the model
    behind a cached prefix, or a compiled form. It has to share the model's own parameters.
    """

    def __init__(
        self,
        model: Classifier,
        plan: Plan,
        params: Params,
        class_weights: torch.Tensor,
        seed: int,
        steps: int,
        forward_from: Forward | None = None,
    ) -> None:
        super().__init__()
        self.model, self.plan, self.params, self.seed = model, plan, params, seed
        self.loss = make_loss(params.loss, class_weights)
        self.classes = len(class_weights)
        self.schedule = RateSchedule(params.schedule, params.epochs, steps, params.early_stopping.mode)
        self.groups = groups_of(model)
        self.frozen: set[str] = set()
        self._forward = (forward_from or model,)  # in a tuple: no submodule, or its weights would be saved twice
        self._factors: list[float] = []
        self._losses: list[tuple[torch.Tensor, int]] = []
        self._unchecked: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._validation: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self.apply_plan(plan[0])

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._forward[0](*inputs)
        return logits.float()

    def apply_plan(self, epoch: Epoch) -> None:
        self.frozen = frozen_in(epoch)
        # DDP takes note once, at the start, of who will ever need a gradient
        set_gradients(self.model, ever_learning(self.plan) if dist.is_initialized() else epoch.keys() - self.frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Learner:
        """Frozen groups stay in eval mode."""
        super().train(mode)
        if mode:
            set_modes(self.model, self.frozen)
        return self

    def setup(self, stage: str) -> None:
        """Raises UserError where Lightning counts this process otherwise than `rank` did for its share of the data."""
        if self.trainer.global_rank != rank():
            raise UserError(
                f"params.yaml: train.trainer: this process is number {self.trainer.global_rank} of "
                f"{self.trainer.world_size} to Lightning, and number {rank()} by its environment ({', '.join(RANKS)}). "
                "Start as many processes as devices × num_nodes say; several machines with torchrun or SLURM."
            )
        self.apply_plan(self.plan[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        lr = self.params.optimizer.lr
        groups = [{"params": p, "name": n, "lr": lr * (self.plan[0][n] or 0.0)} for n, p in self.groups.items()]
        return make_optimizer(self.params.optimizer, groups)

    def on_train_epoch_start(self) -> None:
        self.apply_plan(self.plan[self.current_epoch])
        self._losses.clear()
        self._factors.clear()

    def training_step(self, batch: Batch, number: int) -> torch.Tensor:
        if len(self._unchecked) >= (CHECK_EVERY if self.device.type == "cuda" else 1):
            self._check_losses()
        seed = np.random.SeedSequence([self.seed, self.current_epoch, number, self.global_rank]).generate_state(1)
        torch.manual_seed(int(seed[0]))  # dropout, mixing: as if never interrupted, whoever drew numbers in between
        targets = F.one_hot(batch.targets, self.classes).float()
        if self.params.mix is None:
            logits = self(*batch.inputs)
        else:
            logits, targets = self._mixed(batch.inputs[0], targets)
        losses = self.loss(logits, targets)
        total = losses.detach().sum()
        self._unchecked.append((total, batch.rows))
        self._losses.append((total, len(losses)))
        # summed over parts and devices this is the mean over the whole batch: Lightning divides by the former, DDP by
        # the latter
        return losses.sum() / batch.whole * self.params.accumulate * self.trainer.world_size

    def _mixed(self, images: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(logits, soft targets) of a batch whose images are mixed with one another."""
        mixed, targets = mix(self.model.normalise(images), targets, self.params.mix, torch.default_generator)
        return self.model.head(self.model.backbone(mixed)).float(), targets

    def _check_losses(self) -> None:
        """Now and then: asking an accelerator for a number means waiting for all that it was told to do."""
        found = torch.stack([loss for loss, _ in self._unchecked]) if self._unchecked else torch.zeros(1)
        for n in (~torch.isfinite(found)).nonzero().flatten().tolist()[:1]:
            raise NotFinite(float(found[n]), self._unchecked[n][1].tolist())
        self._unchecked.clear()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        epoch = self.plan[self.current_epoch]
        for group in optimizer.param_groups:
            group["lr"] = self.params.optimizer.lr * self.schedule.factor * (epoch[group["name"]] or 0.0)
            if group["name"] in self.frozen:
                for parameter in group["params"]:
                    parameter.grad = None
        self._factors.append(self.schedule.factor)
        self.schedule.step()

    def on_validation_epoch_start(self) -> None:
        self._validation.clear()

    def validation_step(self, batch: Batch, _: int) -> None:
        self._validation.append((self(*batch.inputs), batch.targets, batch.rows))

    def on_validation_epoch_end(self) -> None:
        self._check_losses()
        for logits, _, rows in self._validation:
            if not torch.isfinite(logits).all():
                raise NotFinite(float("nan"), rows.tolist())
        logits, targets = self._gathered()
        probs = logits.softmax(dim=1)
        self.log("val_loss", self.loss(logits, F.one_hot(targets, self.classes).float()).mean())
        self.log("val_accuracy", (logits.argmax(dim=1) == targets).float().mean())
        self.log("val_auroc", auroc(probs, targets, task="multiclass", num_classes=self.classes))

    def _gathered(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(logits N×K, targets N) of all devices."""
        own = [torch.cat(part) for part in list(zip(*self._validation, strict=True))[:2]]
        if self.trainer.world_size > 1:
            every: list[Any] = [None] * self.trainer.world_size
            dist.all_gather_object(every, [part.cpu() for part in own])
            own = [torch.cat(part).to(self.device) for part in zip(*every, strict=True)]
        return own[0], own[1]

    def on_train_epoch_end(self) -> None:
        self.schedule.epoch_end(float(self.trainer.callback_metrics[self.params.early_stopping.monitor]))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Without what never changes: it is most of the file, in every epoch."""
        checkpoint["schedule"] = self.schedule.state_dict()
        for name in self._constant():
            del checkpoint["state_dict"][name]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.schedule.load_state_dict(checkpoint["schedule"])
        checkpoint["state_dict"] |= self._constant()

    def _constant(self) -> dict[str, torch.Tensor]:
        """Parameters and buffers of the blocks that are frozen throughout; the weights the training starts from."""
        if self.params.ema is not None:  # its callback wants everything
            return {}
        parts = [part for block in frozen_throughout(self.plan) for part in self.model.backbone.blocks[block]]
        prefixes = tuple(f"model.backbone.network.{part}" for part in parts)
        own = self.state_dict()
        return {n: t for n, t in own.items() if any(n == p or n.startswith(p + ".") for p in prefixes)}

    def epoch_loss(self) -> tuple[float, int]:
        """(mean over the images of the epoch, their number), of all devices."""
        total = torch.stack([torch.stack([loss, loss.new_tensor(n)]) for loss, n in self._losses]).sum(dim=0)
        if self.trainer.world_size > 1:
            dist.all_reduce(total)
        return float(total[0] / total[1]), int(total[1])

    def mean_factor(self) -> float:
        """What the schedule left of the rates, on average over the steps of the epoch."""
        return sum(self._factors) / len(self._factors)
