"""From numbers to a name: what has changed, in words.

The alarm is that of all tests against the reference as it is. What it is called follows from a second comparison, with
a reference that has the classes in the shares which the new images are estimated to have: what is still different there
is no matter of prevalence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .statistics.battery import Comparison, Options, Test, compare
from .statistics.prevalence import Prevalence, estimate, matched
from .statistics.sample import Sample

Name = Literal["none", "prevalence", "acquisition", "population", "unclear", "too_few"]
ACQUISITION = ("brightness", "contrast", "sharpness", "width", "height")
"""Facts that the device and its settings decide, before the patient does."""
MEDIUM = 0.5
"""Standard deviations that one of them has to move (Cohen's medium difference) to speak of acquisition: other patients
move them too, but less."""


@dataclass(frozen=True)
class Findings:
    """whole: new images against the reference. alike: against one with the same shares of the classes; None where
    there was no alarm, or the shares or too few patients do not allow it. `evidence`: the tests behind the name."""

    name: Name
    whole: Comparison | None
    prevalence: Prevalence | None
    alike: Comparison | None
    evidence: tuple[Test, ...]

    @property
    def alarm(self) -> bool:
        return self.name not in ("none", "too_few")


def judge(reference: Sample, new: Sample, options: Options, least: int) -> Findings:
    """`least`: patients of each sample; of fewer nothing is said."""
    if min(reference.count, new.count) < least:
        return Findings("too_few", None, None, None, ())
    whole = compare(reference, new, options)
    shares = estimate(reference, new, options.draws, options.level, options.seed)
    found = whole.found(options.alpha)
    if not found:
        return Findings("none", whole, shares, None, ())
    alike = matching(reference, new, shares, options, least)
    still = (alike or whole).found(options.alpha)
    name = named(found, still, matched_classes=alike is not None)
    evidence = [test for test in found if test.kind == "answers"] if name == "prevalence" else still or found
    return Findings(name, whole, shares, alike, tuple(evidence))


def matching(reference: Sample, new: Sample, shares: Prevalence, options: Options, least: int) -> Comparison | None:
    """The second comparison, where the model can tell the classes apart and enough patients are left for it."""
    if not shares.known or not np.isfinite(shares.estimate).all():
        return None
    like = matched(reference, shares.estimate, np.random.default_rng(options.seed))
    return compare(like, new, options) if like.count >= least else None


def named(found: Sequence[Test], still: Sequence[Test], matched_classes: bool) -> Name:
    """`found`: tests that differ from the reference as it is; `still`: from the matched one."""
    if not still:
        return "prevalence" if any(test.kind == "answers" for test in found) else "unclear"
    if any(test.name in ACQUISITION and abs(test.effect) >= MEDIUM for test in still):
        return "acquisition"
    if not matched_classes and all(test.kind == "answers" for test in still):
        return "unclear"
    return "population"
