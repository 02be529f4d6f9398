"""What the machine is asked for."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ...shared.core.settings import Settings


class Cache(Settings):
    """Of what the frozen blocks of a backbone make of each image."""

    enabled: bool = True
    """false: the frozen blocks are computed in every epoch, and every epoch shows new augmentations."""
    views: Annotated[int, Field(ge=1)] = 4
    """How many augmented views of an image a training with frozen blocks sees."""
    max_gb: Annotated[float, Field(gt=0)] = 8.0
    """Most that all cached outputs may take on the disk, gigabytes; the least recently used make room."""
