"""A small part of many points that covers them all."""

from __future__ import annotations

import torch

DIMENSIONS = 128  # in which distances are compared


def coreset(points: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """Indices of `count` of the points N×D, in the order of their choice: a random one, then always the one furthest
    from all that were chosen (Sener & Savarese 2018), by distances in a random projection to DIMENSIONS, as PatchCore
    has it. The same generator chooses the same."""
    if points.shape[1] > DIMENSIONS:
        projection = torch.randn(points.shape[1], DIMENSIONS, generator=generator) / DIMENSIONS**0.5
        points = points @ projection.to(points)
    squares = points.square().sum(dim=1)
    chosen = [int(torch.randint(len(points), (), generator=generator))]
    nearest = torch.full_like(squares, torch.inf)  # squared distance from the nearest that was chosen
    for _ in range(1, count):
        newest = chosen[-1]
        nearest = torch.minimum(nearest, torch.addmv(squares, points, points[newest], alpha=-2) + squares[newest])
        nearest[newest] = -torch.inf  # rounding could choose it twice
        chosen.append(int(nearest.argmax()))
    return torch.tensor(chosen)
