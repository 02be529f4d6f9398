"""What a backbone is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

# Shapes: B batch, C channels, H×W pixels or cells, F features


@dataclass(frozen=True)
class Normalisation:
    """Per-channel mean and standard deviation of images in 0…1 that the weights expect."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Backbone(nn.Module):
    """A network without its head.

    network: B×3×H×W -> B×F
    stages: name -> dotted names of modules or parameters of the network, in the order of the forward pass; together
        they cover every parameter exactly once.
    cam: dotted name of the module whose output Grad-CAM weighs; B×C×H×W, or B×T×C tokens, the first `cam_skip` of
        which are no cells of the image.
    """

    def __init__(
        self,
        network: nn.Module,
        stages: dict[str, list[str]],
        features: int,
        normalisation: Normalisation,
        cam: str,
        cam_skip: int = 0,
        removed_head: str = "head",
    ) -> None:
        super().__init__()
        self.network = network
        self.stages = stages
        self.features = features
        self.normalisation = normalisation
        self.cam = cam
        self.cam_skip = cam_skip
        self.removed_head = removed_head
        for name, _ in network.named_parameters():
            self.stage_of(name)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x)

    def stage_of(self, name: str) -> str:
        """The stage of a parameter or module of the network, by its dotted name."""
        found = [s for s, parts in self.stages.items() if any(name == p or name.startswith(p + ".") for p in parts)]
        if len(found) != 1:
            raise AssertionError(f"{type(self.network).__name__}: {name} must be in one stage and is in {found}")
        return found[0]

    def parameters_of(self, stage: str) -> Iterator[nn.Parameter]:
        return (p for name, p in self.network.named_parameters() if self.stage_of(name) == stage)

    def modules_of(self, stage: str) -> list[nn.Module]:
        return [m for part in self.stages[stage] if isinstance(m := _get(self.network, part), nn.Module)]


def _get(network: nn.Module, dotted: str) -> nn.Module | nn.Parameter:
    owner, _, attribute = dotted.rpartition(".")
    found: nn.Module | nn.Parameter = getattr(network.get_submodule(owner), attribute)
    return found
