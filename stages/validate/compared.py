"""Comparisons of earlier runs: which pictures were compared with each other, and which pairs are the same picture. Only
new pictures are then compared with all.

A picture is known by a digest of what is compared (its hash and its thumbnail), so that an answer can only be that of
the same comparison. Kept as EarlierRuns keeps them, in one file with checksums of its parts.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from ..shared.core.code import digest_of
from ..shared.core.earlier import EarlierRuns
from .params import NearDuplicates

CODE = ("validate/compared.py", "validate/duplicates.py")
LIBRARIES = ("numpy", "opencv-python-headless")
FILE = "compared.npz"
KEY = 16  # bytes of a digest


@dataclass(frozen=True)
class Answers:
    """Of one view. `keys`: uint8 N×KEY, of pictures that were all compared with each other. `pairs`: int64 P×2, places
    in `keys`: the same picture."""

    keys: np.ndarray
    pairs: np.ndarray


NONE = Answers(np.empty((0, KEY), np.uint8), np.empty((0, 2), np.int64))


class Compared:
    def __init__(self, near: NearDuplicates) -> None:
        libraries = [version(name) for name in LIBRARIES]
        self._runs = EarlierRuns("compared", [near.model_dump(mode="json"), digest_of(*CODE), libraries])
        self._known = self._read()
        self._new: dict[str, Answers] = {}

    def known(self, view: str, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`keys`: as `keys_of` gives them. Bool N: those that were compared with each other, and int64 P×2, places in
        `keys`: which of these are the same picture. Of equal keys only the first is known."""
        answers = self._known.get(view, NONE)
        places = {key.tobytes(): place for place, key in reversed([*enumerate(keys)])}
        place = np.array([places.get(key.tobytes(), -1) for key in answers.keys], np.int64)
        known = np.zeros(len(keys), bool)
        known[place[place >= 0]] = True
        pairs = place[answers.pairs]
        # two earlier pictures may have one key, and then have one place here: whether they are the same is asked again
        return known, pairs[(pairs >= 0).all(axis=1) & (pairs[:, 0] != pairs[:, 1])]

    def add(self, view: str, keys: np.ndarray, pairs: np.ndarray) -> None:
        self._new[view] = Answers(keys, np.unique(np.sort(pairs, axis=1), axis=0))

    def keep(self) -> None:
        arrays = {f"{view}.{name}": array for view, own in self._new.items() for name, array in vars(own).items()}
        digest = hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values()))
        with self._runs.new(digest.hexdigest()) as folder:
            np.savez(folder / FILE, **arrays)

    def _read(self) -> Mapping[str, Answers]:
        """Empty where there are none, or they are damaged."""
        folders = self._runs.folders()
        if not folders:
            return {}
        try:
            with np.load(folders[0] / FILE) as arrays:
                views = {name.partition(".")[0] for name in arrays.files}
                return {view: Answers(arrays[f"{view}.keys"], arrays[f"{view}.pairs"]) for view in views}
        except (OSError, EOFError, ValueError, KeyError, RuntimeError, MemoryError, zipfile.BadZipFile):
            # what zipfile and numpy raise on damaged files; or another process has just removed it
            return {}


def keys_of(hashes: Sequence[str], thumbnails: Sequence[bytes], looked_at: Iterable[bool]) -> np.ndarray:
    """uint8 N×KEY. `looked_at`: two pictures of which neither is are not compared, so that it is part of the key."""
    digests = [
        hashlib.blake2b(f"{text} {flag} ".encode() + thumbnail, digest_size=KEY).digest()
        for text, thumbnail, flag in zip(hashes, thumbnails, looked_at, strict=True)
    ]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, KEY)
