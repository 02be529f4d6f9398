"""mixup and cutmix, by torchvision, with the random numbers of a generator."""

from __future__ import annotations

import torch
from torch import Tensor

from ..params.recipe import Mix


def mix(images: Tensor, targets: Tensor, settings: Mix, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """float images B×C×H×W and soft targets B×K, each mixed with the one before it in the batch (the first with the
    last); new tensors. One share for the whole batch, from the CPU generator `generator`."""
    if not images.is_floating_point():
        raise TypeError(f"mix needs float images, not {images.dtype}")
    from torchvision.transforms import v2  # takes seconds to import, and few trainings mix

    kind = {"mixup": v2.MixUp, "cutmix": v2.CutMix}[settings.name]
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):  # torchvision draws from the CPU's global generator alone
        torch.default_generator.manual_seed(seed)
        mixed, soft = kind(alpha=settings.alpha)(images, targets)
    return mixed, soft
