from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from stages.shared.core.environment import environment

GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]


def test_a_result_knows_its_commit_and_whether_the_code_was_edited_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("DVC_EXP_BASELINE_REV", raising=False)
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    (tmp_path / "dvc.lock").write_text("a\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run([*GIT, *command], cwd=tmp_path, check=True)
    head = subprocess.run([*GIT, "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True, check=True)
    commit = head.stdout.strip()
    (tmp_path / "dvc.lock").write_text("b\n")  # DVC writes it after every stage
    assert environment(["torch"], "a GPU") | {"system": "", "python": ""} == {
        "commit": commit, "python": "", "torch": version("torch"), "system": "", "hardware": "a GPU",
    }  # fmt: skip
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    assert environment([])["commit"] == f"{commit} with uncommitted changes"
    assert environment([])["hardware"].endswith(" cores")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "abc")
    assert environment([])["commit"] == "abc"


def test_outside_git_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("DVC_EXP_BASELINE_REV", raising=False)
    assert environment([])["commit"] == "unknown"
