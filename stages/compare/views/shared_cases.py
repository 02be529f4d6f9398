"""The random test images that explain drew of every model: of some tasks an answer is a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from ...shared.core import paths
from ..page import pictures
from ..read import Member


def common(m: Member) -> dict[str, Mapping[str, Any]]:
    """By path."""
    return {case["path"]: case for case in m.cases if case["kind"] == "common"}


def shared_paths(cases: Sequence[Mapping[str, Any]]) -> list[str]:
    """That all models have."""
    return [path for path in cases[0] if all(path in own for own in cases)]


def picture(m: Member, case: Mapping[str, Any], name: str) -> Image.Image:
    return pictures.read(paths.report_dir("explain", m.key) / case[name])
