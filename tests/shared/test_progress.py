from __future__ import annotations

import io
import sys

import pytest

from stages.shared.core import progress as module
from stages.shared.core.progress import progress


class Clock:
    """Time passes when it is told to."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(module, "time", fake)
    return fake


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_has_a_line_now_and_then_with_the_time_left_and_one_at_the_end(
    time: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in progress(range(1200), desc="validate", unit="images"):
        time.now += 1 / 32
    assert capsys.readouterr().err.splitlines() == [
        "validate: 320 of 1,200 images, about 0:28 left",
        "validate: 640 of 1,200 images, about 0:18 left",
        "validate: 960 of 1,200 images, about 0:08 left",
        "validate: 1,200 images in 0:38",
    ]


def test_what_others_did_before_the_first_look_has_no_rate_of_its_own(
    time: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """Workers start, this process imports for 20 seconds, and finds 300 of 400 images done."""
    bar = progress(iter(range(400)), desc="validate", unit="images", total=400)
    time.now += 20
    for number in bar:
        time.now += 0.125 if number >= 300 else 0
    assert capsys.readouterr().err.splitlines() == [
        "validate: 380 of 400 images, about 0:02 left",
        "validate: 400 images in 0:32",
    ]


def test_a_short_matter_leaves_no_line_in_a_log_where_its_bar_would_not_stay(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert list(progress([1, 2], desc="predict", unit="batches", leave=False)) == [1, 2]
    assert capsys.readouterr().err == ""


def test_the_time_left_is_of_what_this_process_does(time: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress(desc="epoch", unit="batches", total=40, done=20) as bar:
        time.now += 30
        bar.update(15)
    assert capsys.readouterr().err.startswith("epoch: 35 of 40 batches, about 0:10 left\n")


def test_what_fails_does_not_say_that_it_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), progress(desc="cache", unit="images", total=4) as bar:
        bar.update(1 // 0)
    assert capsys.readouterr().err == ""


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert list(progress(iter("abc"), desc="packing", unit="files", total=3)) == ["a", "b", "c"]
    assert "packing: 100%" in sys.stderr.getvalue()
    assert "3/3" in sys.stderr.getvalue()
