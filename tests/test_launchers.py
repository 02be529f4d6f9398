"""Models on other machines: what is checked before any work, what travels, what a worker refuses, who trains.

A study of shell commands stands in for training: the transport is DVC's and git's, and does not ask what a stage does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from stages.parallel.cluster import head, on_slurm
from stages.parallel.params import Cluster, Params, Ray
from stages.shared.core.matrix import Matrix

STAGES = ("train", "evaluate")
MATRIX = Matrix(backbone=["a", "b"], strategy=["s"], sample=["full"])
KEYS = MATRIX.keys()
# one line per run of a stage, outside all clones; `die-…`: kill the worker of this stage, once; `fail-…`: fail
WORK = """\
import os, pathlib, signal, sys, time
import psutil
stage, key = sys.argv[1:]
shared = pathlib.Path(__file__).with_name("shared.txt").read_text().strip()
with open(f"{shared}/ran", "a") as file:
    file.write(f"{stage}@{key} {os.environ.get('OMP_NUM_THREADS')} {os.getcwd()}\\n")
die = pathlib.Path(f"{shared}/die-{stage}@{key}")
if die.exists():
    die.unlink()
    names = {parent.pid: " ".join(parent.cmdline()) for parent in psutil.Process().parents()}
    os.kill(next(pid for pid, name in names.items() if "ray::" in name or "core._submit" in name), signal.SIGKILL)
    time.sleep(5)
    pathlib.Path(f"{shared}/survived").touch()
if pathlib.Path(f"{shared}/fail-{stage}@{key}").exists():
    sys.exit(f"error: {stage} cannot do it")
read = pathlib.Path("data/processed/x" if stage == "train" else f"models/{key}/weights").read_text()
out = pathlib.Path(f"models/{key}/weights" if stage == "train" else f"reports/evaluate/{key}/metrics")
out.parent.mkdir(parents=True, exist_ok=True)
out.write_text(f"{stage} {key} of {read}")
"""
PIPELINE = {
    "stages": {
        "preprocess": {
            "cmd": "mkdir -p data/processed && cp source.txt data/processed/x",
            "deps": ["source.txt"],
            "outs": ["data/processed"],
        },
        "train": {
            "matrix": {"backbone": ["a", "b"], "strategy": ["s"], "sample": ["full"]},
            "cmd": "python work.py train ${key}",
            "deps": ["work.py", "data/processed"],
            "outs": ["models/${key}"],
        },
        "evaluate": {
            "matrix": {"backbone": ["a", "b"], "strategy": ["s"], "sample": ["full"]},
            "cmd": "python work.py evaluate ${key}",
            "deps": ["work.py", "models/${key}"],
            "outs": ["reports/evaluate/${key}"],
        },
    }
}


class Study:
    """A repository with results up to preprocess, and a folder that is its DVC remote."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.folder, self.shared, self.storage = folder / "head", folder / "shared", folder / "storage"
        self.scratch = folder / "scratch"
        for place in (self.folder / ".dvc", self.shared):
            place.mkdir(parents=True)
        self.environment = {**os.environ, "PYTHONPATH": str(source)}
        self.environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.write("dvc.yaml", yaml.safe_dump(PIPELINE, sort_keys=False))
        self.write("work.py", WORK)
        self.write("shared.txt", str(self.shared))
        self.write("source.txt", "films")
        self.write(".gitignore", "/data\n/models\n/reports\n/.lightbox\n")
        self.write(".dvc/.gitignore", "/config.local\n/tmp\n/cache\n")
        self.write(".dvc/config", "[core]\n    analytics = false\n    remote = storage\n")
        self.write(".dvc/config", f"{self.read('.dvc/config')}['remote \"storage\"']\n    url = {self.storage}\n")
        self.git("init", "-q")
        self.commit()
        self.dvc("repro", "-q", "preprocess")

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def git(self, *arguments: str) -> str:
        names = [f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")]
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder, env={**os.environ, **dict.fromkeys(names, "t@example.org")},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    def commit(self) -> str:
        self.git("add", "-A")
        self.git("commit", "-qm", "study")
        return self.git("rev-parse", "HEAD")

    def dvc(self, *arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=self.folder, env=self.environment, check=True)

    def settings(self, launcher: str = "slurm", **of_ray: str) -> Params:
        return Params(launcher=launcher, cluster=Cluster(cpus=1, scratch=str(self.scratch)), ray=Ray(**of_ray))

    def train(self, settings: Params) -> dict[str, str | None]:
        """Of each model the stage that failed, or None."""
        with head.ready(settings) as ready:
            outcomes = head.train(ready, MATRIX, None, self.environment, [])
        return {str(outcome.key): outcome.failed for outcome in outcomes}

    def ran(self) -> Counter[str]:
        """How often each stage has run, anywhere."""
        path = self.shared / "ran"
        return Counter(line.split()[0] for line in path.read_text().splitlines()) if path.exists() else Counter()

    def outs(self) -> dict[str, object]:
        stages = yaml.safe_load(self.read("dvc.lock"))["stages"]
        return {name: entry["outs"] for name, entry in stages.items()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Study:
    return Study(tmp_path_factory.mktemp("study"), repository)


@pytest.fixture
def study(made: Study, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.chdir(made.folder)
    monkeypatch.setattr(head, "PER_MEMBER", STAGES)
    monkeypatch.setitem(head.LAUNCHERS, "slurm", lambda settings: on_slurm.jobs(settings, "local"))
    return made


@pytest.mark.e2e
def test_submitit_trains_a_killed_worker_runs_again_alone_and_the_head_only_restores(study):
    (study.shared / "die-train@a-s-full").touch()
    assert study.train(study.settings()) == {"a-s-full": None, "b-s-full": None}
    assert study.ran() == {
        "train@a-s-full": 2, "train@b-s-full": 1, "evaluate@a-s-full": 1, "evaluate@b-s-full": 1,
    }  # fmt: skip
    assert not (study.shared / "survived").exists()  # what a killed worker has started ends with it
    lines = (study.shared / "ran").read_text().splitlines()
    assert all(line.split()[1] == "1" and str(study.scratch) in line for line in lines)
    assert study.read("reports/evaluate/b-s-full/metrics") == "evaluate b-s-full of train b-s-full of films"
    assert [path.name for path in study.scratch.iterdir() if path.is_dir()] == ["files"]  # no clone is left

    serial = study.folder.with_name("serial")
    study.git("clone", "-q", str(study.folder), str(serial))
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], cwd=serial, env=study.environment, check=True)
    assert study.outs() == {
        n: e["outs"] for n, e in yaml.safe_load((serial / "dvc.lock").read_text())["stages"].items()
    }


@pytest.mark.e2e
def test_ray_goes_on_where_a_model_failed_and_starts_a_killed_worker_again(study, monkeypatch):
    from ray.cluster_utils import Cluster as RayCluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    (study.shared / "ran").unlink(missing_ok=True)
    (study.shared / "fail-evaluate@b-s-full").touch()
    (study.shared / "die-evaluate@a-s-full").touch()
    study.write("source.txt", "other films")
    study.commit()
    study.dvc("repro", "-q", "preprocess")
    cluster = RayCluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        settings = study.settings("ray", address=cluster.address)
        assert study.train(settings) == {"a-s-full": None, "b-s-full": "evaluate"}
        assert study.ran() == {
            "train@a-s-full": 1, "train@b-s-full": 1, "evaluate@a-s-full": 2, "evaluate@b-s-full": 1,
        }  # fmt: skip
        assert "error: evaluate cannot do it" in study.read(".lightbox/logs/b-s-full.log")
        (study.shared / "ran").unlink()
        (study.shared / "fail-evaluate@b-s-full").unlink()
        assert study.train(settings) == {"a-s-full": None, "b-s-full": None}
        assert study.ran() == {"evaluate@b-s-full": 1}
    finally:
        cluster.shutdown()
    assert not (study.shared / "survived").exists()
    assert study.read("reports/evaluate/b-s-full/metrics") == "evaluate b-s-full of train b-s-full of other films"
