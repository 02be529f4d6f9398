"""What one machine has to share out: cores and GPUs. Asked without importing torch, which takes seconds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..shared.core.errors import UserError
from ..shared.core.hardware import cores, memory_limits

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
MEMORY = 4 * 2**30  # of one training
VISIBLE = "CUDA_VISIBLE_DEVICES"


class Gpu(NamedTuple):
    """name: for people. id: as CUDA_VISIBLE_DEVICES takes it."""

    name: str
    id: str


@dataclass(frozen=True)
class Slot:
    """The share of one job, for as long as it runs. No GPUs: the job sees what we see."""

    gpus: tuple[Gpu, ...]
    threads: int

    @property
    def name(self) -> str:
        return f"GPU {'+'.join(gpu.name for gpu in self.gpus)}" if self.gpus else ""

    def environment(self, outer: Mapping[str, str]) -> dict[str, str]:
        """`outer` with this share; a number of threads that is set already stays."""
        threads = {name: outer.get(name) or str(self.threads) for name in THREADS}
        devices = {VISIBLE: ",".join(gpu.id for gpu in self.gpus)} if self.gpus else {}
        return {**outer, **threads, **devices}


def share(jobs: int, gpus: Sequence[Gpu], cores: int, each: int = 1) -> list[Slot]:
    """A slot per job. Fewer GPUs than jobs: they go round, and several jobs share one. `each`: GPUs per job.

    Raises:
        UserError: one job needs more GPUs than there are.
    """
    if 0 < len(gpus) < each:
        raise UserError(
            f"params.yaml: train.trainer.devices: {each} for one model, but this machine offers {len(gpus)} "
            f"({VISIBLE}={','.join(gpu.id for gpu in gpus)}). Lower it to {len(gpus)}."
        )
    leases = [tuple(gpus[i : i + each]) for i in range(0, len(gpus) - each + 1, each)] or [()]
    return [Slot(leases[i % len(leases)], max(1, cores // jobs)) for i in range(jobs)]


def side_by_side() -> int:
    """How many models a machine trains at a time without a GPU: one per core, as far as each has MEMORY bytes."""
    memory = min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *memory_limits()])
    return max(1, min(cores(), memory // MEMORY))


def gpus() -> list[Gpu]:
    """CUDA_VISIBLE_DEVICES where it is set, else what nvidia-smi lists. Other accelerators are not leased: every job
    sees them all.

    Raises:
        UserError: nvidia-smi does not answer.
    """
    if (listed := os.environ.get(VISIBLE)) is not None:
        return visible(listed)
    if not (tool := shutil.which("nvidia-smi")):
        return []
    try:
        answer = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False, timeout=60)
    except subprocess.TimeoutExpired:
        raise UserError(
            f"nvidia-smi -L gave no answer in 60 s. Fix the driver, or set {VISIBLE} (empty: use the CPU)."
        ) from None
    return listing(answer.stdout) if answer.returncode == 0 else []


def visible(variable: str) -> list[Gpu]:
    """As CUDA reads the variable: up to the first entry that is no device, such as -1."""
    devices = []
    for part in map(str.strip, variable.split(",")):
        if not re.fullmatch(r"\d+|(GPU|MIG)-\S+", part):
            break
        devices.append(Gpu(part if part.isdigit() else part[:12], part))
    return devices


def listing(text: str) -> list[Gpu]:
    """`nvidia-smi -L`. By UUID, because CUDA may count in another order; a GPU that is cut into MIG instances stands
    for those, since a process sees nothing else of it."""
    devices: list[Gpu] = []
    parent: Gpu | None = None
    for line in text.splitlines():
        if match := re.match(r"GPU (\d+):.*\(UUID: (\S+)\)", line):
            parent = Gpu(*match.groups())
            devices.append(parent)
        elif (match := re.match(r"\s+MIG \S+\s+Device\s+(\d+):.*\(UUID: (\S+)\)", line)) and parent:
            if devices[-1] == parent:
                devices.pop()
            devices.append(Gpu(f"{parent.name}.{match[1]}", match[2]))
    return devices
