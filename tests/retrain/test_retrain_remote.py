"""What DVC says is for the log: its lines may name files of patients, and addresses with passwords."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from stages.retrain import remote
from stages.shared.core.errors import UserError


def test_lines_of_dvc_are_printed_and_stand_in_no_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "adding data/films/Mustermann_Max.png\nERROR: https://ann:gh_pat_0@example.org: no answer\n"
    failed = SimpleNamespace(returncode=255, stdout="", stderr=said)
    monkeypatch.setattr(subprocess, "run", lambda *command, **options: failed)
    with pytest.raises(
        UserError, match=r"`dvc add films` failed; the log has its last lines\. Is it there\?"
    ) as caught:
        remote.dvc("add", "films", remedy="Is it there?")
    assert "Mustermann" not in str(caught.value)
    printed = capsys.readouterr().err
    assert "Mustermann_Max.png" in printed
    assert "ERROR: https://example.org: no answer" in printed
