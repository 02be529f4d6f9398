"""Memories that store features of normal images: an image is as anomalous as it is far from the nearest.

Shapes: B images, F features, C channels, h×w cells, n points, M points of the bank, k neighbours
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.nn import functional as F

from ...core.errors import UserError
from .coreset import coreset
from .memory import Memory, together, whole

CHUNK = 2**22  # distances that are computed at once: they stay in the processor's cache
MB = 10**6


def nearest(points: torch.Tensor, bank: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(distances n×k, ascending, indices n×k) of the k nearest of `bank` M×D for `points` n×D; of all, where there are
    fewer."""
    squares = bank.square().sum(dim=1)
    k, rows = min(k, len(bank)), max(1, CHUNK // len(bank))
    parts = []
    for part in torch.split(points, rows):
        apart = torch.addmm(squares, part, bank.T, alpha=-2)  # the point's own square is the same for all
        parts.append(apart.min(dim=1, keepdim=True) if k == 1 else apart.topk(k, dim=1, largest=False))
    values, indices = (torch.cat(each) for each in zip(*parts, strict=True))
    return (values + points.square().sum(dim=1, keepdim=True)).clamp(min=0).sqrt(), indices


class KnnMemory(Memory):
    """Of whole images: the features are the mean of the last map over its cells.

    An image's distance from a neighbour is the sum over its cells of (cell − neighbour) · (image − neighbour) divided
    by the distance and by the number of cells, so the map says exactly where the distance comes from.
    """

    bank: torch.Tensor

    def __init__(self, features: int, neighbours: int) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.register_buffer("bank", torch.zeros(1, features))
        self._parts: list[torch.Tensor] = []

    def begin(self, images: int, seed: int) -> None:
        self._parts = []
        if images < self.neighbours:
            raise UserError(
                f"params.yaml: strategies: neighbours: {self.neighbours} (plan: knn), and only {images} normal images "
                "train. Lower it, or take a larger sample."
            )

    def add(self, maps: Sequence[torch.Tensor]) -> None:
        self._parts.append(maps[0].float().mean(dim=(2, 3)))

    def finish(self) -> None:
        self.bank, self._parts = torch.cat(self._parts), []

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        cells = maps[0].float()
        features = cells.mean(dim=(2, 3))
        distances, indices = nearest(features, self.bank, self.neighbours)
        neighbours = self.bank[indices]  # B×k×F
        directions = (features[:, None] - neighbours) / distances.clamp(min=1e-12)[..., None]
        along = torch.einsum("bkf,bfhw->bkhw", directions, cells)
        shares = along - (directions * neighbours).sum(dim=2)[..., None, None]
        return whole(distances.mean(dim=1), shares.mean(dim=1))


class PatchMemory(Memory):
    """Of patches: each cell, averaged with its eight neighbours, over the channels of all maps (Roth et al. 2022)."""

    bank: torch.Tensor

    def __init__(self, channels: int, neighbours: int, share: float, max_mb: float) -> None:
        super().__init__()
        self.neighbours, self.share, self.max_mb = neighbours, share, max_mb
        self.register_buffer("bank", torch.zeros(1, channels))
        self._parts: list[torch.Tensor] = []
        self._images, self._cells, self._generator = 0, 0, torch.Generator()

    def patches(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """B×C×h×w."""
        return together([F.avg_pool2d(each.float(), 3, stride=1, padding=1) for each in maps])

    def begin(self, images: int, seed: int) -> None:
        self._parts, self._images, self._generator = [], images, torch.Generator().manual_seed(seed)

    def add(self, maps: Sequence[torch.Tensor]) -> None:
        patches = self.patches(maps).flatten(2).transpose(1, 2)  # B×hw×C
        self._cells = patches.shape[1]
        count = self.per_image(patches.shape[2])
        for image in patches:
            kept = torch.randperm(self._cells, generator=self._generator)[:count]
            self._parts.append(image[kept.to(image.device)])

    def per_image(self, channels: int) -> int:
        """How many patches each image gives.

        Raises:
            UserError: not one, or too few for the coreset.
        """
        bytes_each = self._images * channels * 4
        count = min(self._cells, int(self.max_mb * MB // bytes_each))
        where = f"params.yaml: strategies: max_mb: {self.max_mb:g} (plan: patch_knn)"
        if count < 1:
            raise UserError(
                f"{where}: a patch of each of {self._images} images, {channels} numbers of 4 bytes, takes "
                f"{upwards(bytes_each)} MB. Give at least that, or read fewer blocks."
            )
        if self.kept > count * self._images:
            need = -(-self.kept // self._images) * bytes_each
            raise UserError(
                f"{where}: coreset: {self.share:g} of {self._images * self._cells} patches is {self.kept}, and only "
                f"{count * self._images} fit. Raise max_mb to {upwards(need)}, or lower coreset to "
                f"{math.floor(1e4 * count / self._cells) / 1e4:g}."
            )
        return count

    @property
    def kept(self) -> int:
        """Patches of the coreset."""
        return max(1, round(self.share * self._images * self._cells))

    def finish(self) -> None:
        points, self._parts = torch.cat(self._parts), []
        self.bank = points[coreset(points, self.kept, self._generator).to(points.device)]

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        patches = self.patches(maps)
        batch, channels, height, width = patches.shape
        points = patches.permute(0, 2, 3, 1).reshape(-1, channels)
        distances = nearest(points, self.bank, 1)[0].view(batch, height * width)
        score, worst = distances.max(dim=1)
        if min(self.neighbours, len(self.bank)) > 1:
            score = score * self.weights(points.view(batch, -1, channels)[torch.arange(batch), worst])
        return whole(score, distances.view(batch, height, width))

    def weights(self, points: torch.Tensor) -> torch.Tensor:
        """B, of points B×C: equation 7 of Roth et al. 2022."""
        own = self.bank[nearest(points, self.bank, 1)[1][:, 0]]
        around = self.bank[nearest(own, self.bank, self.neighbours)[1]]  # B×k×C, itself first
        distances = (points[:, None] - around).norm(dim=2)
        certain: torch.Tensor = distances.softmax(dim=1)[:, 0]
        return 1 - certain


def upwards(number: float) -> str:
    """Megabytes of so many bytes, rounded up to a hundredth."""
    return f"{math.ceil(number / MB * 100) / 100:g}"
