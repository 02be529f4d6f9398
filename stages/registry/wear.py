"""How often these test images have decided already.

Every decision on the same images is another chance for a worse model to pass by luck, so a test set wears out. New
images arrive and most old ones stay: so each earlier decision counts by the share of today's images that it saw. Images
are compared by their smallest digests (bottom-k sketch, Broder 1997): a line of the log stays short, and lists no
image.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..shared.core.settings import Settings
from .log import Entry, TestImages

SKETCH = 64
DIGITS = 12
SAME = 0.5  # share of today's images from which on an earlier decision counts


class Wear(Settings):
    """`exact`: earlier decisions on exactly these images. `similar`: those on other sets that share at least half of
    them. A pair of models counts once, however often it was judged. `passes_by_luck`: bound on the probability that one
    of these and this one let a model pass that is worse by a whole margin."""

    exact: int
    similar: int
    passes_by_luck: float

    @property
    def decisions(self) -> int:
        return self.exact + self.similar


@dataclass(frozen=True)
class Pair:
    """Digests of two models."""

    candidate: str
    champion: str | None


def described(images: Iterable[tuple[str, ...]], patients: int) -> TestImages:
    """`images`: of each, the sha256 of the file, then all else that it is judged by: label, patient, …"""
    rows = sorted(images)
    fingerprint = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    digests = sorted({hashlib.sha256(image.encode()).hexdigest()[:DIGITS] for image, *_ in rows})
    return TestImages(fingerprint=fingerprint, images=len(rows), patients=patients, sketch=digests[:SKETCH])


def shared(today: TestImages, earlier: TestImages) -> float:
    """Share of today's images that the earlier set has as well."""
    if today.fingerprint == earlier.fingerprint:
        return 1.0
    both = sorted({*today.sketch, *earlier.sketch})[:SKETCH]
    common = set(today.sketch) & set(earlier.sketch)
    jaccard = sum(digest in common for digest in both) / max(len(both), 1)
    overlap = jaccard / (1 + jaccard) * (today.images + earlier.images)
    return min(overlap / max(today.images, 1), 1.0)


def wear(entries: Sequence[Entry], today: TestImages, pair: Pair, alpha: float) -> Wear:
    """Of the decisions in the log, but for those on this very pair of models, which ask nothing new."""
    exact: set[Pair] = set()
    similar: set[Pair] = set()
    for entry in entries:
        if entry.event != "gate" or entry.test is None or entry.candidate is None:
            continue
        own = Pair(entry.candidate.digest, entry.champion.digest if entry.champion else None)
        if own == pair:
            continue
        if entry.test.fingerprint == today.fingerprint:
            exact.add(own)
        elif shared(today, entry.test) >= SAME:
            similar.add(own)
    similar -= exact
    return Wear(
        exact=len(exact), similar=len(similar), passes_by_luck=min((len(exact) + len(similar) + 1) * alpha, 1.0)
    )
