"""Progressive resizing: small images first, the full size at the end (Howard et al., fastai at DAWNBench 2018)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

Size = tuple[int, int]  # height, width
STEP = 16  # pixels that sides grow by: strides divide them, and few sizes mean few layouts to prepare


def sizes(start: float, until: float, full: Size, epochs: int) -> list[Size]:
    """Of the training images in each epoch: from the share `start` of the full size evenly up to it, which they have
    after the share `until` of the epochs, and always in the last one."""
    growing = min(round(until * epochs), epochs - 1)
    shares = [start + (1 - start) * n / growing for n in range(growing)]
    return [(side_at(share, full[0]), side_at(share, full[1])) for share in shares] + [full] * (epochs - growing)


def side_at(share: float, full: int) -> int:
    """A multiple of STEP near that share of a side; never more than the side."""
    return min(full, max(STEP, STEP * round(share * full / STEP)))


def resized(images: torch.Tensor, size: Size) -> torch.Tensor:
    """Images B×C×H×W of 0 to 255, as floats of that size; those that have it stay as they are."""
    if tuple(images.shape[2:]) == size:
        return images
    return F.interpolate(images.float(), size, mode="bilinear", antialias=True)


def resized_targets(targets: torch.Tensor, size: Size) -> torch.Tensor:
    """Class numbers B×H×W of that size, each the nearest one; targets of whole images, B, stay as they are."""
    if targets.dim() == 1 or tuple(targets.shape[1:]) == size:
        return targets
    return F.interpolate(targets[:, None].float(), size, mode="nearest-exact")[:, 0].to(targets.dtype)
