"""What the archive's names say: label, patient, mask and provided split of every image."""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from ..shared.core.errors import UserError
from ..shared.core.paths import PARAMS, RAW
from ..shared.images.kinds import is_clutter, is_image
from .globs import examples, matches, matches_any, nearest_folders
from .params import Params

SECTION = f"{PARAMS}: validate"
SECONDS = 20  # for the patients of all names; a sound expression takes microseconds a name


@dataclass(frozen=True)
class Files:
    """`images`: one row per image, sorted by path: path, label, patient, mask, provided_split, missing where no pattern
    matches. `others`: neither images nor masks, and not ignored."""

    images: pd.DataFrame
    others: list[str]


def assign(names: Sequence[str], params: Params, read: Callable[[str], bytes]) -> Files:
    """`read` gives the bytes of a file: a file without a suffix may be an image (DICOM).

    Raises:
        UserError: a pattern that matches nothing, a file matched by two classes or two splits, a mask of two images.
    """
    kept = [n for n in names if not is_clutter(n) and not matches_any(n, params.ignore)]
    if not kept:
        raise UserError(f"{RAW}: has no files" + (f" beside those that {SECTION}.ignore names." if names else "."))
    labels = _sort_into(kept, params.classes, "classes")
    splits = _sort_into(list(labels), params.provided_split, "provided_split") if params.provided_split else {}
    masks = _masks(list(labels), set(names), params.mask) if params.mask else {}
    taken = {*labels, *masks.values()}
    rest = [n for n in kept if n not in taken]
    unlabelled = [n for n in rest if is_image(n, partial(read, n))]
    paths = sorted([*labels, *unlabelled])
    patients = _patients(paths, params.patient)
    columns: dict[str, Mapping[str, str | None]]
    columns = {"label": labels, "patient": patients, "mask": masks, "provided_split": splits}
    rows = {"path": paths} | {column: [values.get(n) for n in paths] for column, values in columns.items()}
    label = pd.CategoricalDtype(list(params.classes))
    return Files(pd.DataFrame(rows, dtype="str").astype({"label": label}), [n for n in rest if n not in unlabelled])


def _sort_into(names: Sequence[str], patterns: Mapping[Any, Sequence[str]], key: str) -> dict[str, str]:
    """name -> the one entry of `patterns` that matches it; names without one are left out."""
    by_glob = {(e, g): {n for n in names if matches(n, g)} for e, globs in patterns.items() for g in globs}
    faults = [_matches_none(names, f"{key}.{entry}", g) for (entry, g), hits in by_glob.items() if not hits]
    by_entry = {entry: set().union(*(by_glob[entry, g] for g in globs)) for entry, globs in patterns.items()}
    for one, other in combinations(patterns, 2):
        both = sorted(by_entry[one] & by_entry[other])
        if both:
            faults.append(
                f"{SECTION}.{key}: {len(both)} files match both {one!r} ({examples(patterns[one])}) and {other!r} "
                f"({examples(patterns[other])}): {examples(both)}. Make the patterns exclude each other."
            )
    if faults:
        raise UserError("\n".join(faults))
    return {n: entry for entry, hits in by_entry.items() for n in sorted(hits)}


def _matches_none(names: Sequence[str], where: str, glob: str) -> str:
    nearest = nearest_folders(glob, names)
    plain = "/" not in glob and nearest != ["."]
    hint = " A pattern without a slash is compared with file names only." if plain else ""
    return (
        f"{SECTION}.{where}: {glob} matches none of the {len(names)} files in {RAW}.{hint} Folders with files there, "
        f"most similar first: {', '.join(nearest)}. Fix the pattern, add images where it looks, or remove it."
    )


def _patients(names: Sequence[str], pattern: str | None) -> dict[str, str | None]:
    if pattern is None:
        return {n: n for n in names}
    regex = re.compile(pattern)
    with _time_limit(pattern, names):
        patients = {n: _patient(regex.search(n)) for n in names}
    if not any(patients.values()):
        raise UserError(
            f"{SECTION}.patient: {pattern!r} finds a patient in none of {len(names)} names, such as "
            f"{examples(names, 3)}. Correct it, or set it to null to treat every image as a patient of its own."
        )
    return patients


@contextmanager
def _time_limit(pattern: str, names: Sequence[str]) -> Iterator[None]:
    """Stop an expression that tries every way to divide a name, which can take for ever. Main thread only."""

    def give_up(*_: object) -> None:
        raise UserError(
            f"{SECTION}.patient: {pattern!r} is not done with {len(names)} names, such as {examples(names, 1)}, after "
            f"{SECONDS} s. Nested repeats, as in (a+)+, try every way to divide a name: repeat only one of them."
        )

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _patient(match: re.Match[str] | None) -> str | None:
    if match is None:
        return None
    if "patient" in match.re.groupindex:
        return match["patient"] or None
    return ("-".join(filter(None, match.groups())) if match.re.groups else match[0]) or None


def _masks(images: Sequence[str], names: set[str], template: str) -> dict[str, str]:
    """image -> its mask, where the archive has it."""
    expected: dict[str, str] = {}
    for path in map(PurePosixPath, images):
        mask = template.format(stem=path.stem, name=path.name, folder=path.parent, parent=path.parent.name)
        expected[str(path)] = str(PurePosixPath(mask))
    masks = {n: mask for n, mask in expected.items() if mask in names and mask != n}
    if not masks:
        example = images[0]
        raise UserError(
            f"{SECTION}.mask: {template!r} names no file in {RAW}; for {example} it looks for {expected[example]}. "
            f"Folders there, most similar first: {', '.join(nearest_folders(template, names))}."
        )
    shared = [mask for mask, images_of in Counter(masks.values()).items() if images_of > 1]
    if shared:
        users = [image for image, mask in masks.items() if mask == shared[0]]
        raise UserError(
            f"{SECTION}.mask: {template!r} gives {len(shared)} masks to more than one image each: {shared[0]} to "
            f"{examples(users)}. Files in several folders have one name: tell them apart with {{folder}} or {{parent}}."
        )
    return masks
