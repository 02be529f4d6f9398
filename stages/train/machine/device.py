"""The device that this process trains on, and the numbers it computes with."""

from __future__ import annotations

import os

import torch

from ...shared.core.errors import UserError
from ...shared.model.model import best_device
from ..params import Params

DTYPES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}  # by Lightning's name for the precision


def device_of(params: Params) -> torch.device:
    """As Lightning will choose it. Raises UserError when there is none of the kind asked for."""
    wanted = params.trainer.accelerator
    device = torch.device("cpu") if wanted == "cpu" else best_device()
    if wanted not in ("auto", "cpu", {"cuda": "gpu"}.get(device.type, device.type)):
        raise UserError(
            f"params.yaml: train.trainer.accelerator: {wanted}: there is none on this machine, only {device.type}. "
            "Set it to auto."
        )
    if device.type == "cpu" and isinstance(params.trainer.devices, list):
        raise UserError(
            f"params.yaml: train.trainer.devices: {params.trainer.devices} names GPUs, and this training runs on the "
            f"CPU. Give a number of processes: devices: {len(params.trainer.devices)}."
        )
    if device.type != "cuda":
        return device
    local = int(os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or 0)
    devices = params.trainer.devices
    return torch.device("cuda", devices[local] if isinstance(devices, list) else local)


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """What Lightning computes a step under."""
    return torch.autocast(device.type, dtype=DTYPES.get(precision), enabled=precision in DTYPES)
