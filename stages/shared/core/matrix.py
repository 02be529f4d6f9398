"""The matrix of models: which backbones, strategies and samples meet."""

from __future__ import annotations

import re
from itertools import product

from pydantic import field_validator, model_validator

from .errors import UserError
from .paths import Key
from .settings import Settings, parse, read

_NAME = re.compile(r"[a-z0-9_]+")
BESIDE = "_beside"  # dvc.yaml has each stage of a model twice: for the combinations, and for those of `beside`


class Combinations(Settings):
    """One model per combination. An empty list means none at all."""

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

    def combinations(self) -> list[Key]:
        """In the order in which DVC expands them."""
        return [Key(*names) for names in product(self.backbone, self.strategy, self.sample)]


class Matrix(Combinations):
    """One model per combination, and those of `beside`. An empty list switches the combinations off."""

    beside: Combinations = Combinations(backbone=[], strategy=[], sample=[])
    """Combinations of their own, for a study that is no full cross product, such as a network of one's own from scratch
    beside pretrained networks under four strategies."""

    @model_validator(mode="after")
    def _each_once(self) -> Matrix:
        first = set(self.combinations())
        twice = [str(key) for key in self.beside.combinations() if key in first]
        if twice:
            raise ValueError(f"beside: {', '.join(twice)} is already one of the combinations. Take it out of one.")
        return self

    def keys(self) -> list[Key]:
        """Every member."""
        return [*self.combinations(), *self.beside.combinations()]

    def target(self, stage: str, key: Key) -> str:
        """The name by which DVC knows a stage of this member, e.g. for `dvc repro`."""
        return f"{stage}{BESIDE if key in self.beside.combinations() else ''}@{key}"


def repro(stage: str, key: Key | str, *, force: bool = False) -> str:
    """The command that makes a stage of one member again, for messages."""
    try:
        matrix = parse(Matrix, read()["matrix"], "matrix")
        names = {str(one): matrix.target(stage, one) for one in matrix.beside.combinations()}
        name = names.get(str(key), f"{stage}@{key}")
    except (UserError, KeyError):  # the message tells of something else
        name = f"{stage}@{key}"
    return f"`dvc repro {'-f ' * force}{name}`"
