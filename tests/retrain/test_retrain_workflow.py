"""The workflow of GitHub: what GitHub's documentation and its known faults ask of it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

WORKFLOWS = Path(".github/workflows")


@pytest.fixture(scope="module")
def workflow(repository: Path) -> dict[str, Any]:
    return dict(YAML(typ="safe").load((repository / WORKFLOWS / "retrain.yml").read_text()))


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_the_schedule_is_at_an_odd_minute_and_a_round_can_be_started_by_hand(workflow: dict[str, Any]) -> None:
    minute, hour, *_ = workflow["on"]["schedule"][0]["cron"].split()
    assert int(minute) % 2 == 1
    assert int(minute) not in (0, 15, 30, 45)
    assert 0 <= int(hour) < 24
    assert workflow["on"]["workflow_dispatch"]["inputs"]["promote"]["default"] is False


def test_no_other_workflow_has_a_schedule_that_would_go_to_sleep_with_it(repository: Path) -> None:
    for path in (repository / WORKFLOWS).glob("*.yml"):
        own = YAML(typ="safe").load(path.read_text())
        assert ("schedule" in own["on"]) == (path.name == "retrain.yml")


def test_rounds_wait_for_each_other_and_none_is_cut_off(workflow: dict[str, Any]) -> None:
    assert workflow["concurrency"] == {"group": "retrain", "cancel-in-progress": False}


def test_it_may_write_contents_and_nothing_else(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {"contents": "write"}


def test_every_action_is_pinned_to_a_commit_and_the_same_everywhere(repository: Path) -> None:
    pins: dict[str, set[str]] = {}
    for path in (repository / WORKFLOWS).glob("*.yml"):
        for step in steps(YAML(typ="safe").load(path.read_text())):
            if "uses" in step:
                action, _, version = step["uses"].partition("@")
                assert re.fullmatch(r"[0-9a-f]{40}", version), step["uses"]
                pins.setdefault(action, set()).add(version)
    assert all(len(versions) == 1 for versions in pins.values())


def test_scripts_are_valid_and_take_nothing_from_expressions(workflow: dict[str, Any], repository: Path) -> None:
    """An expression inside a script is pasted into it before the shell reads it: whoever chooses its value runs code."""
    for path in (repository / WORKFLOWS).glob("*.yml"):
        for step in steps(YAML(typ="safe").load(path.read_text())):
            if script := step.get("run", ""):
                assert "${{ github." not in script
                assert "${{ inputs." not in script
                assert "${{ secrets." not in script
                plain = re.sub(r"\$\{\{.*?\}\}", "x", script)
                subprocess.run(["bash", "-n"], input=plain, text=True, check=True)


Round = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def a_round(workflow: dict[str, Any], tmp_path: Path) -> Round:
    """Runs the step that retrains, with `python` standing for what the shell script does, and these variables."""
    script = next(step for step in steps(workflow) if step.get("id") == "retrain")["run"]
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/activate").write_text("")
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()

    def run(does: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
        python.write_text(f"#!/bin/sh\n{does}\n")
        python.chmod(0o755)
        environment = {"PATH": f"{python.parent}:/usr/bin:/bin", "HOME": str(tmp_path), **variables}
        command = ["bash", "-e", "-o", "pipefail", "-c", script]
        return subprocess.run(command, cwd=tmp_path, env=environment, check=False, capture_output=True)

    return run


@pytest.mark.parametrize(("code", "job"), [(0, 0), (3, 0), (4, 0), (1, 1)])
def test_a_rejected_model_is_no_failed_job_and_empty_secrets_are_not_set(
    a_round: Round, tmp_path: Path, code: int, job: int
) -> None:
    secrets = {"MLFLOW_TRACKING_URI": "http://example.org", "KAGGLE_KEY": "", "LIGHTBOX_PRIVACY_KEY": "", "SSH_KEY": ""}
    done = a_round(f'echo "$@" > called\nenv > environment\nexit {code}', PROMOTE="true", **secrets)
    assert done.returncode == job, done.stderr
    assert (tmp_path / "called").read_text().split() == ["-m", "stages", "retrain", "--promote"]
    names = {line.partition("=")[0] for line in (tmp_path / "environment").read_text().splitlines()}
    assert "MLFLOW_TRACKING_URI" in names
    assert not names & {"KAGGLE_KEY", "LIGHTBOX_PRIVACY_KEY", "SSH_KEY"}


@pytest.mark.parametrize("there", [False, True])
def test_a_key_of_the_machine_is_kept_and_one_of_the_job_is_removed(
    a_round: Round, tmp_path: Path, there: bool
) -> None:
    key = tmp_path / ".ssh/id_ed25519"
    if there:
        key.parent.mkdir()
        key.write_text("of the machine\n")
    for _ in range(2):
        done = a_round("cp ~/.ssh/id_ed25519 used", SSH_KEY="of the job", SSH_KNOWN_HOSTS="a host")
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "used").read_text() == ("of the machine\n" if there else "of the job\n")
    assert key.exists() == there
    assert (tmp_path / ".ssh/known_hosts").read_text() == "a host\n"


@pytest.mark.parametrize(
    ("outcome", "committed"), [("success", {"champions.jsonl", "dvc.lock"}), ("failure", {"champions.jsonl"})]
)
def test_a_round_that_failed_commits_its_decisions_alone(
    workflow: dict[str, Any], tmp_path: Path, outcome: str, committed: set[str]
) -> None:
    step = next(step for step in steps(workflow) if step.get("name") == "Commit what was made")
    assert "!cancelled()" in step["if"]
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OUTCOME": outcome}
    script = """
        git init --quiet --bare --initial-branch main ../origin && git clone --quiet ../origin . 2>/dev/null
        git config user.name a && git config user.email a@example.org
        echo 1 > dvc.lock && git add . && git commit --quiet -m first && git push --quiet origin HEAD:main
        mkdir -p reports/retrain && echo "# Retraining: $OUTCOME" > reports/retrain/summary.md
        echo 2 > dvc.lock && echo 1 > champions.jsonl
    """
    clone.mkdir()
    for own in (script, step["run"]):
        subprocess.run(["bash", "-e", "-c", own], cwd=clone, env=environment, check=True)
    shown = subprocess.run(
        ["git", "show", "--format=", "--name-only", "main"], cwd=origin, capture_output=True, text=True, check=True
    )
    assert set(shown.stdout.split()) == committed
