"""What a method is, and its maps of many images.

Shapes: N images, B of a batch, C channels, H×W pixels
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...shared.core.errors import UserError
from ...shared.model.model import Model
from ...shared.model.predict import as_tensor, batches

BATCH = 32  # images
PIXELS = {"cpu": 2**18}  # of all images of a pass where a method changes each image many times: the cache holds them
MANY_PIXELS = 2**24  # of an accelerator: 2 GB of activations or so


def able(_: Model) -> None:
    """For a method that asks nothing of the network."""


@dataclass(frozen=True)
class Method:
    """label: as people call it. maps: (model in eval mode, float images B×C×H×W of 0…255, B class numbers, both on the
    model's device) -> B×H×W on it, higher where more speaks for the class; below 0 is as 0. unable: why a model has no
    such map; None: it has. of_class: whether the map depends on the class that it is asked about."""

    label: str
    maps: Callable[[Model, torch.Tensor, torch.Tensor], torch.Tensor]
    unable: Callable[[Model], str | None] = able
    of_class: bool = True


def usable(names: Sequence[str], methods: Mapping[str, Method], model: Model) -> tuple[list[str], dict[str, str]]:
    """Those of `names` that the model can do, in their order, and of the others why not.

    Raises:
        UserError: none remains.
    """
    reasons = {name: methods[name].unable(model) for name in names}
    skipped = {name: reason for name, reason in reasons.items() if reason is not None}
    if len(skipped) == len(reasons):
        others = [name for name, method in methods.items() if name not in skipped and method.unable(model) is None]
        raise UserError(
            "params.yaml: explain.methods: "
            + "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
            + f". Add one that this network can do: {', '.join(others)}."
        )
    return [name for name in names if name not in skipped], skipped


def heat_maps(method: Method, model: Model, images: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """float32 N×H×W in 0…1, of uint8 images N×H×W×C; `targets` (N class numbers): what each map is about.

    The hottest pixel of each map is 1. Where nothing speaks for the class the map is zero everywhere.
    """
    model.eval()
    device = next(model.parameters()).device
    maps = [np.zeros((0, *images.shape[1:3]), np.float32)]
    for chunk in batches(np.arange(len(images)), BATCH):
        pixels = as_tensor(images[chunk]).to(device).float()
        classes = torch.from_numpy(targets[chunk].astype(np.int64)).to(device)
        maps.append(scaled(method.maps(model, pixels, classes)).cpu().numpy())
    return np.concatenate(maps)


def scaled(maps: torch.Tensor) -> torch.Tensor:
    """B×H×W -> 0…1: what is below 0 becomes 0, and the hottest pixel of each map 1, unless all are 0."""
    maps = maps.detach().float().relu()
    peaks = maps.flatten(1).amax(dim=1)[:, None, None]
    return torch.where(peaks > 0, maps / peaks.clamp_min(torch.finfo(torch.float32).tiny), 0.0)


def from_lowest(maps: torch.Tensor) -> torch.Tensor:
    """B×H×W, each less its lowest value: of attention, which is zero nowhere."""
    return maps - maps.flatten(1).amin(dim=1)[:, None, None]


def grey(images: torch.Tensor) -> torch.Tensor:
    """B×C×1×1: what stands in place of pixels that are taken away, the mean of the image."""
    return images.mean(dim=(2, 3), keepdim=True)


def log_probability(model: Model, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Of the class that each image is asked about: B. Unlike a logit it rests on all classes."""
    values: torch.Tensor = model(images).float().log_softmax(dim=1).gather(1, targets[:, None])[:, 0]
    return values


def parts(count: int, images: torch.Tensor) -> Iterator[torch.Tensor]:
    """0 … count - 1, in as many numbers at a time as changed copies of `images` make a good pass."""
    at_once = max(1, PIXELS.get(images.device.type, MANY_PIXELS) // (images.shape[2] * images.shape[3]))
    return (torch.arange(i, min(i + at_once, count), device=images.device) for i in range(0, count, at_once))
