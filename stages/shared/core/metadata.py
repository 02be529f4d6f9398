"""What is known of an image beside its label, such as the age of the patient: one column each in every table of images,
from the manifest to the predictions, named `meta_<name>`."""

from __future__ import annotations

from collections.abc import Iterable

PREFIX = "meta_"


def column(name: str) -> str:
    return PREFIX + name


def columns(names: Iterable[str]) -> list[str]:
    """Those of `names`, the columns of a table, that hold metadata."""
    return [name for name in names if name.startswith(PREFIX)]
