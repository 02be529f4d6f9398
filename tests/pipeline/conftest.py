"""A temporary clone of the repository, in which DVC really runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages.parallel import server

QUICK = {
    "download.phantom": {"patients": 60, "images_per_patient": [1, 2], "size": 64, "opacity": [0.5, 0.9]},
    "preprocess": {"size": 48, "steps": []},
    "preprocess.split": {"folds": 3},
    "matrix": {"strategy": ["from_scratch", "fine_tune"], "sample": ["full"]},
    "train": {"epochs": 2, "batch_size": 16, "augment": []},
    "evaluate": {"bootstrap": 100},
    "embed": {"perplexity": 5, "iterations": 250},
    "explain": {"right": 1, "wrong": 1},
}


def copy_repository(source: Path, target: Path) -> None:
    """What git would clone, uncommitted edits included."""
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=source, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, names.split("\0")):
        if (source / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)


def edit(path: Path, changes: Mapping[str, Mapping[str, Any]]) -> None:
    """Set values in a params file; keys of `changes` are dotted sections."""
    yaml = YAML()
    document = yaml.load(path.read_text())
    for dotted, values in changes.items():
        section = document
        for name in dotted.split("."):
            section = section[name]
        for key, value in values.items():
            section[key] = value
    with path.open("w") as file:
        yaml.dump(document, file)


def ran(output: str) -> set[str]:
    """The stages that DVC says it ran."""
    return set(re.findall(r"Running stage '([^']+)'", output))


@dataclass
class Clone:
    """`dvc(...)` runs DVC in it and gives its output; `repro()` gives the stages that ran."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    first_output: str = ""

    def command(self, *arguments: str, check: bool = True, **extra: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            arguments, cwd=self.folder, env={**self.environment, **extra}, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, f"{arguments}\n{done.stdout[-4000:]}\n{done.stderr[-6000:]}"
        return done

    def dvc(self, *arguments: str, check: bool = True, **extra: str) -> str:
        done = self.command(sys.executable, "-m", "dvc", *arguments, check=check, **extra)
        return done.stdout + done.stderr

    def git(self, *arguments: str) -> str:
        return self.command("git", *arguments).stdout

    def edit(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        edit(self.folder / "params.yaml", changes)

    def repro(self, **extra: str) -> set[str]:
        """Run the pipeline; the stages that really ran."""
        return ran(self.dvc("repro", **extra))

    def json(self, path: str) -> Any:
        return json.loads((self.folder / path).read_text())


def environment() -> dict[str, str]:
    """Ours, with this interpreter as `python`, and nothing of an outer DVC or MLflow."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "MLFLOW_", "LIGHTBOX_", "PYTEST_"))}
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    kept |= {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org"}
    return kept | {"GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org"}


@pytest.fixture(scope="session")
def make_clone(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    def make(**more: Mapping[str, Any]) -> Clone:
        clone = Clone(tmp_path_factory.mktemp("clone"), environment())
        copy_repository(repository, clone.folder)
        clone.edit({**QUICK, **more})
        clone.git("init", "-q")
        clone.git("add", "-A")
        clone.git("commit", "-qm", "quick")
        return clone

    return make


@contextmanager
def served(clone: Clone) -> Iterator[None]:
    """The clone's stages are forks of one process, as under `make run`: a quick stage is imports for the most part."""
    with ExitStack() as stack:
        with chdir(clone.folder):
            clone.environment = stack.enter_context(server.running(clone.environment, server.MODULES))
        yield


@pytest.fixture(scope="module")
def finished(make_clone: Any) -> Iterator[Clone]:
    """A clone in which `dvc repro` has run once. The stages up to preprocess were processes of their own; what runs
    afterwards are forks. Tests on it are in one file, in order, each leaving it finished."""
    clone = make_clone()
    clone.first_output = clone.dvc("repro", "preprocess")
    with served(clone):
        clone.first_output += clone.dvc("repro")
        clone.git("add", "-A")
        clone.git("commit", "-qm", "first run")
        yield clone
