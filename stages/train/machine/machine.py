"""The machine that a training runs on: settings and environment are read once, into a `Machine`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from ...shared.core.errors import UserError
from ...shared.core.paths import project_root
from ...shared.core.process import check_world, rank
from ...shared.model.predict import best_device
from ..params.machine import Trainer

DTYPES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}  # by Lightning's name for the precision
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
Auto = Literal["auto"]
CPU = torch.device("cpu")
MOST_WORKERS = 8  # processes that augment


@dataclass(frozen=True)
class Machine:
    """precision: Lightning's name for it. channels_last: memory layout of the weights.

    accumulate: parts of a step that a process computes one after the other.
    rank: number of this process among the `world` processes that train one model together.
    workers: processes that augment images.
    scratch: folder of what can be computed again.
    """

    device: torch.device = CPU
    precision: Precision = "32-true"
    channels_last: bool = True
    accumulate: int = 1
    rank: int = 0
    world: int = 1
    workers: int = 0
    scratch: Path = Path(".lightbox")

    @property
    def is_main(self) -> bool:
        """Whether this process writes the model and the report."""
        return self.rank == 0

    @property
    def parts(self) -> int:
        """Into how many parts all processes together cut a step."""
        return self.accumulate * self.world

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def autocast(self) -> torch.autocast:
        """The number format in which Lightning computes a step."""
        return torch.autocast(self.device.type, DTYPES.get(self.precision), enabled=self.precision in DTYPES)


def this_machine(
    trainer: Trainer,
    precision: Precision | Auto,
    channels_last: bool | Auto,
    accumulate: int,
    workers: int | Auto,
) -> Machine:
    """What the settings ask for, with what they leave to the machine filled in.

    Raises:
        UserError: this machine has no such device, precision or number of processes.
    """
    check_world(trainer.world)
    device = device_of(trainer)
    return Machine(
        device=device,
        precision=precision_on(device, precision),
        # images lie channels last in the arrays; MPS has no convolutions of its own for that layout
        channels_last=device.type in ("cpu", "cuda") if channels_last == "auto" else channels_last,
        accumulate=accumulate,
        rank=rank(),
        world=trainer.world,
        workers=workers_for(device) if workers == "auto" else workers,
        scratch=project_root() / ".lightbox",
    )


def device_of(trainer: Trainer) -> torch.device:
    """As Lightning will choose it. Raises UserError when there is none of the kind asked for."""
    kind = trainer.accelerator
    device = CPU if kind == "cpu" else best_device()
    if kind not in ("auto", "cpu", {"cuda": "gpu"}.get(device.type, device.type)):
        raise UserError(
            f"params.yaml: train.trainer.accelerator: {kind}: there is none on this machine, only {device.type}. "
            "Set it to auto."
        )
    if device.type == "cpu" and isinstance(trainer.devices, list):
        raise UserError(
            f"params.yaml: train.trainer.devices: {trainer.devices} names GPUs, and this training runs on the "
            f"CPU. Give a number of processes: devices: {len(trainer.devices)}."
        )
    if device.type != "cuda":
        return device
    local = int(os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or 0)
    return torch.device("cuda", trainer.devices[local] if isinstance(trainer.devices, list) else local)


def precision_on(device: torch.device, setting: Precision | Auto) -> Precision:
    """auto: bfloat16 where the processor computes it natively; emulated it is slower than float32.

    Raises:
        UserError: 16-mixed without a GPU.
    """
    if setting == "16-mixed" and device.type != "cuda":
        raise UserError(
            f"params.yaml: train.precision: 16-mixed needs a GPU, and this training runs on {device.type}. "
            "Valid here: auto, 32-true, bf16-mixed."
        )
    if setting != "auto":
        return setting
    return "bf16-mixed" if has_bfloat16(device) else "32-true"


def has_bfloat16(device: torch.device) -> bool:
    """A GPU of compute capability 8 or more; a CPU with AVX-512 BF16 or AMX. For CPUs
    torch's function is private; where a later version lacks it, the answer is no."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device.type == "cpu" and any(getattr(torch.cpu, name, lambda: False)() for name in questions)


def workers_for(device: torch.device) -> int:
    """None without a GPU: to read a row of the array costs less than to hand it between processes. With one, this
    training's share of the processor's cores."""
    if device.type != "cuda":
        return 0
    return min(MOST_WORKERS, max(1, torch.get_num_threads() // torch.cuda.device_count() - 1))
