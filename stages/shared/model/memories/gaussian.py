"""Memories of mean and covariance: an image is as anomalous as its Mahalanobis distance from the normal ones.

Shapes: B images, P positions (1: the whole image), D numbers at each, C channels, h×w cells
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...core.errors import UserError
from .memory import Memory, together, whole


class Moments:
    """Sums over points P×D, from which the covariance of Ledoit & Wolf 2004 follows, so that no point has to be kept.
    In float64, relative to the mean of the first batch."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, points: torch.Tensor) -> None:
        """B×P×D."""
        points = points.double()
        if not self.count:
            self.origin = points.mean(dim=0)  # P×D
            positions, numbers = self.origin.shape
            self.sum = torch.zeros_like(self.origin)
            self.products = points.new_zeros(positions, numbers, numbers)
            self.square, self.fourth = (points.new_zeros(positions) for _ in range(2))  # of |x|²
            self.cubes = torch.zeros_like(self.origin)  # of |x|² x
        x = (points - self.origin).transpose(0, 1)  # P×B×D
        squares = x.square().sum(dim=2)  # P×B
        self.count += x.shape[1]
        self.sum += x.sum(dim=1)
        self.products.baddbmm_(x.transpose(1, 2), x)
        self.square += squares.sum(dim=1)
        self.fourth += squares.square().sum(dim=1)
        self.cubes += torch.einsum("pb,pbd->pd", squares, x)

    def mean(self) -> torch.Tensor:
        """P×D."""
        return self.origin + self.sum / self.count

    def covariance(self) -> torch.Tensor:
        """P×D×D: (1 − s) S + s (tr S / D) I, where S is the empirical covariance and s minimises the expected squared
        error, as scikit-learn's LedoitWolf has it."""
        n, numbers = self.count, self.sum.shape[1]
        m = self.sum / n
        empirical = self.products / n - m[:, :, None] * m[:, None, :]
        length = m.square().sum(dim=1)
        along = torch.einsum("pd,pde,pe->p", m, self.products, m)  # sum over the points of (m·x)²
        # sum of |x − m|⁴, from |x − m|² = |x|² − 2 m·x + |m|²
        fourth = (
            self.fourth + 4 * along - 3 * n * length.square()
            - 4 * (self.cubes * m).sum(dim=1) + 2 * length * self.square
        )  # fmt: skip
        size = empirical.square().sum(dim=(1, 2))
        level = empirical.diagonal(dim1=1, dim2=2).sum(dim=1) / numbers
        spread = (size - numbers * level.square()) / numbers
        noise = torch.minimum((fourth / n - size) / (numbers * n), spread).clamp(min=0)
        s = torch.where(spread > 0, noise / spread.clamp(min=1e-300), torch.zeros_like(spread))[:, None, None]
        return (1 - s) * empirical + s * level[:, None, None] * torch.eye(numbers).to(empirical)


class GaussianMemory(Memory):
    """What both kinds share: `points` of maps, and a Gaussian for each position."""

    mean: torch.Tensor
    precision: torch.Tensor

    def __init__(self, numbers: int, plan: str) -> None:
        super().__init__()
        self.plan = plan
        self.register_buffer("mean", torch.zeros(1, numbers))
        self.register_buffer("precision", torch.eye(numbers)[None])
        self._moments = Moments()

    def points(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """B×P×D."""
        raise NotImplementedError

    def begin(self, images: int, seed: int) -> None:
        self._moments = Moments()
        if images < 2:
            raise UserError(
                f"params.yaml: samples: {images} normal image trains, and a covariance (plan: {self.plan}) needs 2 at "
                "least. Take a larger sample."
            )

    def add(self, maps: Sequence[torch.Tensor]) -> None:
        self._moments.add(self.points(maps))

    def finish(self) -> None:
        covariance = self._moments.covariance()
        level = covariance.diagonal(dim1=1, dim2=2).mean(dim=1).clamp(min=1e-12)[:, None, None]
        # a position that is the same in all images has no covariance to invert
        floor = 1e-6 * level * torch.eye(covariance.shape[1]).to(covariance)
        self.mean = self._moments.mean().float()
        self.precision = torch.linalg.inv(covariance + floor).float()
        self._moments = Moments()


class MahalanobisMemory(GaussianMemory):
    """Of whole images: the features are the mean of the last map over its cells.

    An image's distance is the sum over its cells of (cell − mean)ᵀ precision (image − mean) divided by the distance and
    by the number of cells, so the map says exactly where the distance comes from.
    """

    def __init__(self, features: int) -> None:
        super().__init__(features, "mahalanobis")

    def points(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        return maps[0].float().mean(dim=(2, 3))[:, None]

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        away = self.points(maps)[:, 0] - self.mean
        pull = away @ self.precision[0]
        distance = (pull * away).sum(dim=1).clamp(min=0).sqrt()
        pull = pull / distance.clamp(min=1e-12)[:, None]
        shares = torch.einsum("bf,bfhw->bhw", pull, maps[0].float()) - (pull @ self.mean[0])[:, None, None]
        return whole(distance, shares)


class PositionMemory(GaussianMemory):
    """Of every position, over some channels of all maps (Defard et al. 2021)."""

    channels: torch.Tensor

    def __init__(self, channels: int, kept: int) -> None:
        """The channels that are kept are drawn by torch's current seed."""
        chosen = torch.randperm(channels)[:kept].sort().values
        super().__init__(len(chosen), "padim")
        self.register_buffer("channels", chosen)

    def points(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        return together(maps)[:, self.channels].flatten(2).transpose(1, 2)

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        height, width = max((tuple(each.shape[2:]) for each in maps), key=lambda cells: cells[0] * cells[1])
        away = (self.points(maps) - self.mean).transpose(0, 1)  # P×B×D
        pull = torch.matmul(away, self.precision)
        distances = (pull * away).sum(dim=2).clamp(min=0).sqrt().T  # B×P
        return whole(distances.amax(dim=1), distances.reshape(len(distances), height, width))
