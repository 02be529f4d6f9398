"""Which files of the archive are the masks of which image."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePosixPath
from string import Formatter

from ..shared.core.errors import UserError
from ..shared.core.paths import PARAMS, RAW
from .globs import examples, nearest_folders
from .params import Structure

SECTION = f"{PARAMS}: validate.mask"
WILD = {"stem": "[^/]+", "name": "[^/]+", "folder": ".*", "parent": "[^/]+"}


@dataclass(frozen=True)
class MaskFile:
    """A mask as the manifest lists it."""

    structure: str
    path: str
    invert: bool
    threshold: int


@dataclass(frozen=True)
class Masks:
    """Of one image. `missing`: the structures of which it has no mask, or not every part of a union. `spare`: files
    that would be its mask if an earlier one were not there."""

    files: list[MaskFile] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    spare: list[str] = field(default_factory=list)

    @property
    def annotated(self) -> bool:
        return bool(self.files) and not self.missing


def masks_of(images: Sequence[str], names: set[str], structures: Mapping[str, Structure]) -> dict[str, Masks]:
    """The masks of each image that `names`, the files of the archive, hold.

    Raises:
        UserError: a structure without any file, a file that is the mask of several images.
    """
    masks = {image: Masks() for image in images}
    for structure, settings in structures.items():
        for image, own in masks.items():
            paths = [path for path in _expected(image, settings) if path in names and path != image]
            complete = len(paths) == len(settings.files) if settings.union else bool(paths)
            if not complete:
                own.missing.append(structure)
            chosen = len(paths) if settings.union else 1
            own.files.extend(MaskFile(structure, path, settings.invert, settings.threshold) for path in paths[:chosen])
            own.spare.extend(paths[chosen:])
        if not any(file.structure == structure for own in masks.values() for file in own.files):
            raise _no_file(structure, settings, images[0], names)
    _refuse_shared(masks)
    return masks


def without_image(names: Sequence[str], structures: Mapping[str, Structure]) -> list[str]:
    """Those of `names` that are named like the mask of an image."""
    return [name for name in names if looks_like_mask(name, structures)]


def looks_like_mask(name: str, structures: Mapping[str, Structure]) -> bool:
    templates = {template for settings in structures.values() for template in settings.files}
    return any(_pattern(template).fullmatch(name) for template in templates)


def _expected(image: str, settings: Structure) -> list[str]:
    path = PurePosixPath(image)
    values = {"stem": path.stem, "name": path.name, "folder": path.parent, "parent": path.parent.name}
    return [posixpath.normpath(template.format(**values)) for template in settings.files]


@cache
def _pattern(template: str) -> re.Pattern[str]:
    while "{folder}/.." in template:
        template = template.replace("{folder}/..", "{folder}")
    parts = ((re.escape(text), WILD.get(name or "", "")) for text, name, _, _ in Formatter().parse(template))
    return re.compile("".join(text + wild for text, wild in parts), re.DOTALL)


def _no_file(structure: str, settings: Structure, image: str, names: set[str]) -> UserError:
    templates = ", ".join(map(repr, settings.files))
    return UserError(
        f"{SECTION}.{structure}: {templates}: no such file in {RAW}; for {image} it looks for "
        f"{', '.join(_expected(image, settings))}. Folders there, most similar first: "
        f"{', '.join(nearest_folders(settings.files[0], names))}. Fix the template, or "
        f"remove {structure} where the set has no such masks."
    )


def _refuse_shared(masks: Mapping[str, Masks]) -> None:
    users: dict[str, list[str]] = {}
    for image, own in masks.items():
        for file in own.files:
            users.setdefault(file.path, []).append(f"{image} ({file.structure})")
    shared = {path: of for path, of in users.items() if len(of) > 1}
    if shared:
        path, of = next(iter(shared.items()))
        raise UserError(
            f"{SECTION}: {len(shared)} files would be the mask of more than one image or structure each: {path} of "
            f"{examples(of)}. Files in several folders have one name: tell them apart with {{folder}} or {{parent}}."
        )
