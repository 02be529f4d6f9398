"""The device that this process trains on."""

from __future__ import annotations

import os

import torch

from ..shared.model import best_device
from .params import Params


def device_of(params: Params) -> torch.device:
    """As Lightning will choose it."""
    device = torch.device("cpu") if params.trainer.accelerator == "cpu" else best_device()
    if device.type != "cuda":
        return device
    local = int(os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or 0)
    wanted = params.trainer.devices
    return torch.device("cuda", wanted[local] if isinstance(wanted, list) else local)
