"""What a fresh machine installs and runs: requirements, make, GitHub's workflows."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

CUDA = re.compile(r"^(nvidia|cuda|triton)\b")


def pins(path):
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    requirements = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def closure(names, skip):
    """All installed distributions that `names` require on this machine, without what `skip` matches."""
    todo, seen = [(name, "") for name in names], set()
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen or skip.match(name):
            continue
        seen.add((name, extra))
        for text in metadata.requires(name) or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                todo += [(canonicalize_name(requirement.name), e) for e in ("", *requirement.extras)]
    return {name for name, _ in seen}


def test_without_cuda_every_package_is_still_pinned(repository):
    """`make setup TORCH=cpu` resolves requirements.in under the pins of requirements.txt; PyTorch's CPU build requires no
    CUDA package. So every package it brings has to have its pin there."""
    locked = pins(repository / "requirements.txt")
    needed = closure(pins(repository / "requirements.in"), skip=CUDA)
    assert needed <= set(locked)
    assert {name for name in locked if CUDA.match(name)}.isdisjoint(needed)
    assert {"torch", "mlflow", "great-expectations"} < needed  # it looked


def make(repository, *arguments):
    return subprocess.run(
        ["make", "-n", "-W", "requirements.txt", *arguments], cwd=repository, capture_output=True, text=True, check=True
    ).stdout


def test_set_up_installs_the_pins(repository):
    assert "--no-deps -r requirements.txt" in make(repository, "setup")
    cpu = make(repository, "setup", "TORCH=cpu")
    assert "--torch-backend cpu -r requirements.in -c requirements.txt" in cpu
    assert "--no-deps -r requirements.txt" not in cpu


@pytest.mark.parametrize(("arguments", "message"), [(["TORCH=gpu"], "TORCH=gpu: leave it out"), (["PYTHON=false"], "")])
def test_set_up_refuses_what_it_cannot_do(repository, tmp_path, arguments, message):
    command = ["make", "-f", repository / "Makefile", f"VENV={tmp_path / 'venv'}", *arguments, "setup"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert done.returncode
    assert message in done.stderr
    assert not (tmp_path / "venv").exists()


def test_workflows_pin_what_they_run(repository):
    """A tag can be moved to other code; a commit cannot."""
    used = [
        step["uses"]
        for path in (repository / ".github/workflows").glob("*.yml")
        for job in YAML(typ="safe").load(path.read_text())["jobs"].values()
        for step in job["steps"]
        if "uses" in step
    ]
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", name) for name in used), used


def test_the_citation_names_this_version(repository):
    citation = YAML(typ="safe").load((repository / "CITATION.cff").read_text())
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
