"""The training step, and the plan applied: who learns, at what rate, in which epoch."""

from __future__ import annotations

import math

import lightning.pytorch as pl
import torch
from torch import nn
from torchmetrics.functional import auroc

from ..shared.model import Classifier
from .data import Batch
from .params import Params
from .plan import HEAD, Plan


class Learner(pl.LightningModule):
    """A classifier under a plan. Per epoch it logs val_loss, val_accuracy and val_auroc."""

    def __init__(self, model: Classifier, plan: Plan, params: Params, class_weights: torch.Tensor, seed: int) -> None:
        super().__init__()
        self.model, self.plan, self.params, self.seed = model, plan, params, seed
        self.loss = nn.CrossEntropyLoss(weight=class_weights)
        self.groups = {name: list(model.backbone.parameters_of(name)) for name in model.backbone.stages}
        self.groups[HEAD] = list(model.head.parameters())
        self.frozen: set[str] = set()
        self._train_losses: list[tuple[torch.Tensor, int]] = []
        self._validation: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.apply_plan(plan[0])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(images)
        return logits

    def apply_plan(self, epoch: dict[str, float | None]) -> None:
        self.frozen = {name for name, rate in epoch.items() if rate is None}
        for name, parameters in self.groups.items():
            for parameter in parameters:
                parameter.requires_grad_(name not in self.frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Learner:
        """A frozen stage stays in eval mode: its BatchNorm statistics are frozen too, and its dropout is off."""
        super().train(mode)
        for name in self.frozen - {HEAD}:
            for module in self.model.backbone.modules_of(name):
                module.eval()
        return self

    def configure_optimizers(self) -> torch.optim.Optimizer:
        settings = self.params.optimizer
        groups = [
            {"params": p, "name": n, "lr": settings.lr * (self.plan[0][n] or 0.0)} for n, p in self.groups.items()
        ]
        return torch.optim.Adam(groups, weight_decay=settings.weight_decay)

    def on_train_epoch_start(self) -> None:
        epoch = self.plan[self.current_epoch]
        self.apply_plan(epoch)
        rate = self.params.optimizer.lr * decay(self.params, self.current_epoch)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate * (epoch[group["name"]] or 0.0)
        torch.manual_seed(self.seed * 100_003 + self.current_epoch)  # dropout: as if never interrupted
        self._train_losses.clear()

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        images, targets = batch
        loss: torch.Tensor = self.loss(self(images), targets)
        self._train_losses.append((loss.detach(), len(targets)))
        return loss

    def on_validation_epoch_start(self) -> None:
        self._validation.clear()

    def validation_step(self, batch: Batch, _: int) -> None:
        images, targets = batch
        self._validation.append((self(images).float(), targets))

    def on_validation_epoch_end(self) -> None:
        logits = torch.cat([part for part, _ in self._validation])
        targets = torch.cat([part for _, part in self._validation])
        probs = logits.softmax(dim=1)
        self.log("val_loss", self.loss(logits, targets))
        self.log("val_accuracy", (logits.argmax(dim=1) == targets).float().mean())
        self.log("val_auroc", auroc(probs, targets, task="multiclass", num_classes=probs.shape[1]))

    def train_loss(self) -> float:
        """Mean over the images of the epoch."""
        seen = sum(n for _, n in self._train_losses)
        return float(sum(loss * n for loss, n in self._train_losses) / seen)


def decay(params: Params, epoch: int) -> float:
    """What the schedule leaves of the learning rates in an epoch, counted from 0."""
    return 1.0 if params.schedule == "constant" else (1 + math.cos(math.pi * epoch / params.epochs)) / 2
