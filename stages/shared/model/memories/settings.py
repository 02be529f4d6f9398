"""Strategies that fit a memory in place of learning. The backbone keeps its pretrained weights."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from ...core.settings import Settings

Count = Annotated[int, Field(ge=1)]
Blocks = Annotated[list[str], Field(min_length=1)] | None


class Knn(Settings):
    plan: Literal["knn"]
    """Of anomaly detection: the mean distance of an image's features from those of its nearest normal images."""
    neighbours: Count = 5
    """How many are the nearest."""


class PatchKnn(Settings):
    plan: Literal["patch_knn"]
    """Of anomaly detection: the distance of each patch from the nearest of all normal patches; an image is as anomalous
    as its most anomalous patch (PatchCore, Roth et al. 2022)."""
    blocks: Blocks = None
    """Whose maps are read; null: those whose cells are 8 and 16 pixels wide."""
    neighbours: Count = 9
    """Normal patches around the nearest one: where they are far from each other, a distance means less. 1: distances
    as they are."""
    coreset: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Share of the normal patches that is kept, chosen so that each of the others is near to one of them."""
    max_mb: PositiveFloat = 256.0
    """Megabytes that the patches may take before the choice. Where all of them take more, each image gives fewer, drawn
    at random."""


class Mahalanobis(Settings):
    plan: Literal["mahalanobis"]
    """Of anomaly detection: the Mahalanobis distance of an image's features from the mean of the normal ones, with the
    covariance of Ledoit & Wolf 2004, since there are often fewer images than features."""


class Padim(Settings):
    plan: Literal["padim"]
    """Of anomaly detection: at each position the Mahalanobis distance from the normal images at that position, with the
    covariance of Ledoit & Wolf 2004; an image is as anomalous as its most anomalous position (PaDiM, Defard et al.
    2021). Images should show the same thing at the same place."""
    blocks: Blocks = None
    """Whose maps are read; null: those whose cells are 8 and 16 pixels wide."""
    channels: Count = 100
    """How many channels of these maps are kept, drawn at random."""


MemorySettings = Annotated[Knn | PatchKnn | Mahalanobis | Padim, Field(discriminator="plan")]
MEMORIES = (Knn, PatchKnn, Mahalanobis, Padim)
