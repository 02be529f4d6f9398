"""The keeper of what earlier runs computed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stages.shared.core.earlier import KEPT, EarlierRuns


def keep(runs: EarlierRuns, digest: str, content: str = "right") -> None:
    with runs.new(digest) as folder:
        (folder / "result").write_text(content)


def test_the_newest_stay_and_a_run_that_is_not_finished_does_not_count(tmp_path: Path):
    runs = EarlierRuns("rows", {"size": 8}, tmp_path)
    with runs.new("unfinished") as partial:
        for number in range(4):
            keep(runs, f"run-{number}")
        assert partial.exists()
        assert len(runs.folders()) == KEPT
    for age, folder in enumerate(runs.folders()):
        os.utime(folder, (100 - age, 100 - age))
    newest, *older = runs.folders()
    os.utime(newest, (1, 1))
    assert runs.folders()[0] == older[0]
    runs.use()
    assert older[0].stat().st_mtime > 100
    assert EarlierRuns("rows", {"size": 9}, tmp_path).folders() == []


def test_what_was_damaged_is_replaced_by_the_same_result(tmp_path: Path):
    runs = EarlierRuns("rows", None, tmp_path)
    keep(runs, "one", "damaged")
    keep(runs, "one")
    (folder,) = runs.folders()
    assert (folder / "result").read_text() == "right"


def test_a_run_that_fails_leaves_nothing(tmp_path: Path):
    runs = EarlierRuns("rows", None, tmp_path)
    with pytest.raises(OSError, match="full"), runs.new("one"):
        raise OSError("full")
    assert list((tmp_path / ".lightbox/rows").iterdir()) == []


def test_a_folder_that_vanishes_meanwhile_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    runs = EarlierRuns("rows", None, tmp_path)
    keep(runs, "one")
    ghost = tmp_path / ".lightbox/rows" / runs.folders()[0].name.replace("one", "two")
    found = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, pattern: [*found(self, pattern), ghost])
    assert runs.folders()[-1] == ghost
