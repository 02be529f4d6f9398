"""The matrix of models: which backbones, strategies and samples meet."""

from __future__ import annotations

import re
from itertools import product

from pydantic import field_validator

from .paths import Key
from .settings import Settings

_NAME = re.compile(r"[a-z0-9_]+")


class Matrix(Settings):
    """One model per combination. An empty list switches the whole matrix off."""

    backbone: list[str]
    """Names of entries under `backbones`."""
    strategy: list[str]
    """Names of entries under `strategies`."""
    sample: list[str]
    """Names of entries under `samples`."""

    @field_validator("backbone", "strategy", "sample")
    @classmethod
    def _fit_for_dvc(cls, names: list[str]) -> list[str]:
        for name in names:
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"{name!r} is not a valid name. Use lower-case letters, digits and _ only: the name becomes a part "
                    "of a DVC stage and of a folder, and a dot, a slash or a hyphen would break DVC's templating."
                )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(map(repr, twice))} is listed twice. List each name once.")
        return names

    def keys(self) -> list[Key]:
        """Every member, in the order in which DVC expands it."""
        return [Key(*names) for names in product(self.backbone, self.strategy, self.sample)]
