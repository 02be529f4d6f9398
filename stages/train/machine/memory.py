"""When the memory of the accelerator does not suffice: what would fit, and going on with that."""

from __future__ import annotations

import gc
import sys

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.memory import is_oom_error

from ...shared.arrays.arrays import Arrays
from ...shared.core.errors import UserError
from ...shared.model.model import create
from ..params import Params
from ..plan.apply import frozen_throughout
from ..plan.strategies import make_plan
from ..recipe.optimizers import make_optimizer
from .device import autocast, device_of


def after_out_of_memory(params: Params, arrays: Arrays, said: str) -> Params:
    """The same step of the optimiser in more parts, small enough to fit.

    Raises:
        UserError: `auto_batch` is off, or not even two images fit; says what would.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if params.auto_batch and params.trainer.world > 1:
        raise UserError(
            f"train: out of memory ({said.splitlines()[0]}). auto_batch works for one device: of several, the others "
            "would wait for this one for ever. Raise train.accumulate instead."
        )
    parts = params.accumulate * params.trainer.world
    size = -(-params.batch_size // parts)
    fitting = largest_fitting(params, arrays, size)
    told = f"train: {size} images of {params.backbone.name} at a time do not fit into memory ({said.splitlines()[0]})"
    if fitting is None:
        raise UserError(f"{told}, and not even 2 do. Choose a smaller backbone or preprocess.size, or another machine.")
    accumulate = -(-params.batch_size // (fitting * params.trainer.world))
    if not params.auto_batch:
        raise UserError(
            f"{told}; {fitting} would. Set train.accumulate: {accumulate} (the same step in {accumulate} parts), or "
            f"train.batch_size: {fitting * params.trainer.world * params.accumulate}, or train.auto_batch: true."
        )
    print(f"{told}; going on with {fitting} at a time, {accumulate} parts a step (auto_batch).", file=sys.stderr)
    return params.model_copy(update={"accumulate": accumulate})


def largest_fitting(params: Params, arrays: Arrays, failed: int) -> int | None:
    """The largest half, quarter, … of `failed` images with which a whole step succeeds; None if 2 are too many."""
    size = failed // 2
    while size >= 2:
        if fits(params, arrays, size):
            return size
        size //= 2
    return None


def fits(params: Params, arrays: Arrays, size: int) -> bool:
    """Try one step on a model made for the purpose; what the strategy never lets learn does not."""
    device = device_of(params)
    blank = torch.zeros(size, arrays.images.shape[3], *arrays.size, dtype=torch.uint8, device=device)
    architecture = params.backbone.architecture
    try:
        with (
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            autocast(params.precision, device),
        ):
            model = create(architecture, len(arrays.classes)).to(device)
            plan = make_plan(params.strategy, list(model.backbone.blocks), params.epochs)
            for block in frozen_throughout(plan):
                for parameter in model.backbone.parameters_of(block):
                    parameter.requires_grad_(False)
            groups = [
                {"params": [p for p in model.parameters() if p.requires_grad], "name": "all", "lr": params.optimizer.lr}
            ]
            optimizer = make_optimizer(params.optimizer, groups)
            F.cross_entropy(model(blank).float(), torch.zeros(size, dtype=torch.int64, device=device)).backward()
            optimizer.step()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return False
    finally:
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return True


def is_out_of_memory(error: RuntimeError) -> bool:
    """cuDNN and cuBLAS say it in errors of other kinds, which Lightning knows."""
    return isinstance(error, torch.OutOfMemoryError) or bool(is_oom_error(error))
