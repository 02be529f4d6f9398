"""What `python -m stages parallel` changes in DVC: how dvc.lock is written, and not what is in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("dvc")
from dvc.utils.serialize import load_yaml

PIPELINE = """\
stages:
  first:
    cmd: echo {text} > first.txt
    params: [text, deep, nothing]
    outs: [first.txt]
  second:
    matrix: {{size: [1, 2, 3]}}
    cmd: python -c 'import pathlib; pathlib.Path("out-${{item.size}}.txt").write_text("a long line of a command" * ${{item.size}})'
    deps: [first.txt]
    outs: ["out-${{item.size}}.txt"]
"""
PARAMS = "text: 'yes'\ndeep: {rate: 1e-05, names: [a, '**/*.png', \"x: y\"], empty: null, flag: true}\nnothing:\n"


def repro(folder: Path, module: str, text: str) -> str:
    (folder / "dvc.yaml").write_text(PIPELINE.format(text=text))
    subprocess.run([sys.executable, "-m", module, "repro", "--quiet"], cwd=folder, check=True)
    return (folder / "dvc.lock").read_text()


def test_the_lock_is_the_one_that_dvc_writes(tmp_path, repository, monkeypatch):
    """Byte for byte: all stages anew, then one command changed, in a lock that the other one has written."""
    monkeypatch.setenv("PYTHONPATH", str(repository))
    locks: dict[str, list[str]] = {}
    for module in ("dvc", "stages.parallel.dvc"):
        folder = tmp_path / module
        folder.mkdir()
        (folder / "params.yaml").write_text(PARAMS)
        subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=folder, check=True)
        locks[module] = [repro(folder, module, "one"), repro(folder, module, "two")]
    theirs, ours = locks.values()
    assert ours == theirs
    assert ours[0] != ours[1]
    assert list(load_yaml(tmp_path / "dvc" / "dvc.lock")["stages"]) == ["first", "second@1", "second@2", "second@3"]


def test_entries_that_did_not_change_keep_their_lines():
    from stages.parallel.dvc import replaced

    text = "schema: '2.0'\nstages:\n  a:\n    cmd: old\n  b@x:\n    cmd: a   strange\n      layout\n"
    after = replaced(text, {"a": {"cmd": "new"}, "c": {"cmd": "added"}})
    assert after == text.replace("old", "new") + "  c:\n    cmd: added\n"
