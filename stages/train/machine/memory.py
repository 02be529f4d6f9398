"""When the memory of the accelerator does not suffice: the same step in more parts."""

from __future__ import annotations

import gc
import sys
from dataclasses import replace

import torch
from lightning.pytorch.utilities.memory import is_oom_error

from ...shared.core.errors import Untrainable, UserError
from .machine import Machine


def is_out_of_memory(error: RuntimeError) -> bool:
    """Lightning knows the errors in which cuDNN and cuBLAS report it."""
    return isinstance(error, torch.OutOfMemoryError) or bool(is_oom_error(error))


def in_more_parts(machine: Machine, step_images: int, auto_batch: bool, reason: str) -> Machine:
    """Twice as many parts of a step of so many images, down to parts of 2 (BatchNorm needs 2).

    Frees what the failed step used: call it outside of the handler, whose traceback still refers to its activations.

    Raises:
        UserError: `auto_batch` is off, several devices train, or the parts have 2 images already.
    """
    gc.collect()
    if machine.device.type == "cuda":
        torch.cuda.empty_cache()
    images = -(-step_images // machine.parts)
    message = f"train: {images} images at a time do not fit into memory ({reason.splitlines()[0]})"
    accumulate = min(2 * machine.accumulate, step_images // (2 * machine.world))
    if accumulate <= machine.accumulate:
        raise Untrainable(f"{message}, and fewer cannot be trained. Choose a smaller backbone or preprocess.size.")
    remedy = f"Set train.accumulate: {accumulate} (the same step in {accumulate} parts), or a smaller train.batch_size"
    if machine.world > 1:
        raise UserError(
            f"{message}. {remedy}. auto_batch works for one device: of several, the others would wait for this one."
        )
    if not auto_batch:
        raise Untrainable(f"{message}. {remedy}, or train.auto_batch: true, which tries smaller parts until they fit.")
    print(f"{message}; trying {accumulate} parts a step (auto_batch).", file=sys.stderr)
    return replace(machine, accumulate=accumulate)
