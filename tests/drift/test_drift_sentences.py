"""Numbers of a comparison in words."""

from __future__ import annotations

import numpy as np
import pytest

from stages.drift import sentences
from stages.drift.read import New
from stages.drift.statistics.battery import Comparison
from stages.drift.statistics.battery import Test as Result
from stages.drift.verdict import Findings


def fact(name: str, effect: float) -> Result:
    return Result(name, "fact", effect, p=0.001, smallest=0.7, adjusted=0.004)


@pytest.mark.parametrize(
    ("effect", "shift", "least"),
    [(0.84, "+0.8 SD", "±0.7 SD"), (-0.31, "−0.3 SD", "±0.7 SD"), (-0.012, "0.0 SD", "±0.7 SD"),
     (np.inf, "it never varied before", "–")],
)  # fmt: skip
def test_a_shift_has_a_sign_only_where_there_is_one(effect: float, shift: str, least: str) -> None:
    own = sentences.row(fact("width", effect))
    assert (own["effect"], own["smallest"]) == (shift, least)


@pytest.mark.parametrize("matched", [True, False])
def test_what_differs_says_of_which_images_its_numbers_are(matched: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same fact has other numbers in the table of all images."""
    monkeypatch.setattr(sentences, "caveats", lambda new: [])
    whole = Comparison((fact("brightness", 0.71),), (30, 30), (60, 60), np.zeros(60))
    alike = Comparison((fact("brightness", 0.84),), (20, 30), (40, 60), np.zeros(60))
    evidence = (alike if matched else whole).tests
    findings = Findings("acquisition", whole, None, alike if matched else None, evidence)
    text = " ".join(sentences.paragraphs(findings, New, ["normal", "ill"], 20))
    expected = "What differs between images of equal classes: brightness is higher (+0.8 SD)"
    assert (expected if matched else "What differs: brightness is higher (+0.7 SD)") in text
