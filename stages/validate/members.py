"""What the archive's names say: label, patient, mask and provided split of every image."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from ..shared.core.errors import UserError
from ..shared.core.paths import PARAMS, RAW
from ..shared.images.kinds import is_clutter, is_image
from .globs import matches_any, nearest_folders, shown
from .params import Params

SECTION = f"{PARAMS}: validate"


@dataclass(frozen=True)
class Member:
    """One image. None: nothing in params says."""

    path: str
    label: str | None
    patient: str | None
    mask: str | None
    provided_split: str | None


@dataclass(frozen=True)
class Members:
    """`images` in the order of their paths; `others`: neither images nor masks, and not ignored."""

    images: list[Member]
    others: list[str]


def assign(names: Sequence[str], params: Params, read: Callable[[str], bytes]) -> Members:
    """`read` gives the bytes of a file: those of files without a suffix say whether they are images.

    Raises UserError: a pattern that matches nothing, a file matched by two classes or two splits, a mask
    shared by two images."""
    kept = [n for n in names if not is_clutter(n) and not matches_any(n, params.ignore)]
    if not kept:
        raise UserError(f"{RAW}: has no files" + (f" beside those that {SECTION}.ignore names." if names else "."))
    labels = _sort_into(kept, params.classes, "classes")
    splits = _sort_into(list(labels), params.provided_split, "provided_split") if params.provided_split else {}
    masks = _masks(list(labels), set(names), params.mask) if params.mask else {}
    taken = {*labels, *masks.values()}
    strays = [n for n in kept if n not in taken]
    unlabelled = {n for n in strays if is_image(n, partial(read, n))}
    patients = _patients(sorted({*labels, *unlabelled}), params.patient)
    images = [Member(n, labels.get(n), patients[n], masks.get(n), splits.get(n)) for n in patients]
    return Members(images, [n for n in strays if n not in unlabelled])


def _sort_into(names: Sequence[str], patterns: Mapping[Any, Sequence[str]], key: str) -> dict[str, str]:
    """name -> the one entry of `patterns` that matches it; names without one are left out."""
    by_glob = {e: {g: {n for n in names if matches_any(n, [g])} for g in globs} for e, globs in patterns.items()}
    faults = [_empty(names, f"{key}.{e}", [g]) for e, globs in by_glob.items() for g, hits in globs.items() if not hits]
    found = {entry: set().union(*globs.values()) for entry, globs in by_glob.items()}
    entries = list(patterns)
    for i, one in enumerate(entries):
        for other in entries[i + 1 :]:
            both = sorted(found[one] & found[other])
            if both:
                faults.append(
                    f"{SECTION}.{key}: {len(both)} files match both {one!r} ({shown(patterns[one])}) and {other!r} "
                    f"({shown(patterns[other])}): {shown(both)}. Make the patterns exclude each other."
                )
    if faults:
        raise UserError("\n".join(faults))
    return {n: entry for entry, members in found.items() for n in sorted(members)}


def _empty(names: Sequence[str], where: str, globs: Sequence[str]) -> str:
    nearest = nearest_folders(globs[0], names)
    hint = (
        ""
        if any("/" in g for g in globs) or nearest == ["."]
        else " A pattern without a slash is compared with file names only."
    )
    return (
        f"{SECTION}.{where}: {shown(globs)} matches none of the {len(names)} files in {RAW}.{hint} "
        f"Folders with files there, most similar first: {', '.join(nearest)}. Fix the pattern, put images where it "
        "looks, or take the class out."
    )


def _patients(names: Sequence[str], pattern: str | None) -> dict[str, str | None]:
    if pattern is None:
        return {n: n for n in names}
    regex = re.compile(pattern)
    patients = {n: _patient(regex.search(n)) for n in names}
    if not any(patients.values()):
        raise UserError(
            f"{SECTION}.patient: {pattern!r} finds a patient in none of {len(names)} names, such as "
            f"{shown(names, 3)}. Correct it, or set it to null to treat every image as a patient of its own."
        )
    return patients


def _patient(match: re.Match[str] | None) -> str | None:
    if match is None:
        return None
    if "patient" in match.re.groupindex:
        return match["patient"] or None
    groups = [g for g in match.groups() if g]
    return "-".join(groups) if match.re.groups else match[0] or None


def _masks(images: Sequence[str], names: set[str], template: str) -> dict[str, str]:
    """image -> its mask, where the archive has it."""
    wanted = {n: _fill(template, PurePosixPath(n)) for n in images}
    masks = {n: mask for n, mask in wanted.items() if mask in names and mask != n}
    if not masks:
        example = images[0]
        raise UserError(
            f"{SECTION}.mask: {template!r} names no file in {RAW}; for {example} it looks for {wanted[example]}. "
            f"Folders there, most similar first: {', '.join(nearest_folders(template, names))}."
        )
    owners: dict[str, list[str]] = {}
    for image, mask in masks.items():
        owners.setdefault(mask, []).append(image)
    shared = {mask: users for mask, users in owners.items() if len(users) > 1}
    if shared:
        mask, users = next(iter(shared.items()))
        raise UserError(
            f"{SECTION}.mask: {template!r} gives {len(shared)} masks to more than one image each: {mask} to "
            f"{shown(users)}. Files of one name lie in several folders: tell them apart with {{folder}} or {{parent}}."
        )
    return masks


def _fill(template: str, path: PurePosixPath) -> str:
    folder = path.parent
    filled = template.format(stem=path.stem, name=path.name, folder=folder, parent=folder.name)
    return str(PurePosixPath(filled))
