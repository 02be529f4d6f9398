"""Models on other machines: what is checked before any work, what travels, what a worker refuses, who trains.

A study of shell commands stands in for training: the transport is DVC's and git's, and does not ask what a stage does.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from stages.parallel import driver, schedule
from stages.parallel.cluster import commit, head, jobs, on_ray, on_slurm, orders, remote, restore, worker
from stages.parallel.params import Cluster, Params, Ray
from stages.shared.core import settings as core_settings
from stages.shared.core.errors import UserError
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


@pytest.mark.e2e
def test_a_file_edited_after_the_commit_is_noticed_and_the_head_still_trains_nothing(study):
    (study.shared / "ran").unlink(missing_ok=True)
    work = study.read("work.py")
    targets = [f"{stage}@a-s-full" for stage in STAGES]
    assert restore.restore(targets, study.environment, []) == []
    study.write("work.py", f"{work}# edited\n")
    try:
        assert restore.restore(targets, study.environment, []) == targets
        assert study.ran() == {}
    finally:
        study.write("work.py", work)
        study.dvc("checkout", "-q")


def order(study: Study, **changes: object) -> worker.Order:
    made = {
        "key": "a-s-full",
        "repository": str(study.folder),
        "commit": study.git("rev-parse", "HEAD"),
        "targets": ["train@a-s-full"],
        "inputs": ["data/processed"],
        "lock": "",
        "config": "",
        "scratch": str(study.scratch.with_name("other")),
        "threads": 1,
        "versions": worker.versions(),
        "environment": {},
    }
    return {**made, **changes}  # type: ignore[typeddict-item]


def refusal(study: Study, **changes: object) -> str:
    before = study.ran()
    report = worker.run(order(study, **changes))
    assert report["code"] == 1
    assert study.ran() == before
    return report["log"].rpartition("error: ")[2]


def test_a_worker_refuses_a_commit_that_it_cannot_have(study):
    assert "does not have the head's commit 000000000000" in refusal(study, commit="0" * 40)
    assert "cannot be cloned" in refusal(study, repository="/no/such/folder")


def test_a_worker_refuses_a_clone_at_another_commit_or_with_other_files(study):
    one = order(study)
    clone = Path(str(one["scratch"])) / f"{one['commit'][:12]}-a-s-full"
    study.git("clone", "-q", str(study.folder), str(clone))
    (clone / "work.py").write_text("edited")
    assert "work.py" in refusal(study)
    subprocess.run(["git", "checkout", "-q", "--orphan", "new"], cwd=clone, check=True)
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, "commit", "-qam", "other"], cwd=clone, check=True)
    assert f"the head at {one['commit'][:12]}. Delete the folder." in refusal(study)


def test_a_worker_refuses_another_environment_and_a_folder_that_is_in_use(study):
    assert "torch" in refusal(study, versions={**worker.versions(), "torch": "1.0"})
    assert "(the head: 2.7)" in refusal(study, versions={**worker.versions(), "python": "2.7"})
    one = order(study)
    with (Path(str(one["scratch"])) / f"{one['commit'][:12]}-a-s-full.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another worker" in refusal(study)


def test_what_a_stage_sees_of_the_outside(monkeypatch, study):
    for name in ("SLURM_NTASKS", "LIGHTBOX_SERVER", "DVC_ROOT", "RANK", "CUDA_VISIBLE_DEVICES", "HF_HOME"):
        monkeypatch.setenv(name, "7")
    seen = worker.stage_environment(order(study, threads=3, environment={"MLFLOW_TRACKING_URI": "http://server"}))
    assert not seen.keys() & {"SLURM_NTASKS", "LIGHTBOX_SERVER", "DVC_ROOT", "RANK"}
    assert (seen["CUDA_VISIBLE_DEVICES"], seen["HF_HOME"], seen["OMP_NUM_THREADS"]) == ("7", "7", "3")
    assert seen["MLFLOW_TRACKING_URI"] == "http://server"


def test_a_dirty_tree_is_refused_by_name_and_what_the_pipeline_writes_is_not(study):
    now = study.git("rev-parse", "HEAD")
    assert commit.clean() == now  # dvc.lock is not committed
    study.write("new file.py", "")
    study.write("source.txt", "edited")
    try:
        with pytest.raises(UserError, match=r"not committed: new file\.py, source\.txt|source\.txt, new file\.py"):
            commit.clean()
    finally:
        (study.folder / "new file.py").unlink()
        study.git("checkout", "-q", "source.txt")


def test_a_commit_that_was_not_pushed_is_refused_before_any_work(study, tmp_path):
    bare = tmp_path / "bare.git"
    study.git("clone", "-q", "--bare", str(study.folder), str(bare))
    now = study.git("rev-parse", "HEAD")
    commit.check_published(now, str(bare))
    unpushed = study.git("commit-tree", "-p", now, "-m", "x", f"{now}^{{tree}}")
    with pytest.raises(UserError, match=rf"does not have commit {unpushed[:12]}.*git push"):
        commit.check_published(unpushed, str(bare))
    with pytest.raises(UserError, match="git ls-remote"):
        commit.check_published(now, str(tmp_path / "nothing"))


def test_no_message_and_no_log_shows_the_token_of_a_repository(study, tmp_path, monkeypatch):
    bare, address = tmp_path / "bare.git", "https://ann:geheim@host.example/study.git"
    study.git("clone", "-q", "--bare", str(study.folder), str(bare))
    now = study.git("rev-parse", "HEAD")
    unpushed = study.git("commit-tree", "-p", now, "-m", "x", f"{now}^{{tree}}")
    instead = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.{bare}.insteadOf", "GIT_CONFIG_VALUE_0": address}
    for name, value in instead.items():  # git reads the folder in place of the address
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="repository: https://host.example/study.git does not have commit"):
        commit.check_published(unpushed, address)
    shutil.rmtree(bare)
    with pytest.raises(UserError, match="git ls-remote --heads --tags https://host.example/study.git") as caught:
        commit.check_published(now, address)
    assert "geheim" not in str(caught.value)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "0")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    log = worker.run(order(study, repository=address, scratch=str(tmp_path)))["log"]
    assert "https://host.example/study.git: cannot be cloned" in log
    assert "geheim" not in log


def found(study: Study, config: str, name: str | None = None) -> remote.Remote:
    from dvc.repo import Repo

    local = study.folder / ".dvc/config.local"
    local.write_text(config)
    try:
        with Repo() as repo:
            return remote.find(repo, name)
    finally:
        local.unlink()


def test_a_remote_that_cannot_carry_results_is_refused_before_any_work(study, tmp_path):
    with pytest.raises(UserError, match=r"'storag' is not known. Did you mean 'storage'"):
        found(study, "", "storag")
    with pytest.raises(UserError, match=r"over HTTP. Use a shared folder, S3 or SSH"):
        found(study, "['remote \"storage\"']\n    url = http://localhost:1/x\n")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="a test file could not be written"):
        found(study, f"['remote \"storage\"']\n    url = {tmp_path}/file/folder\n")
    study.write(".dvc/config", study.read(".dvc/config").replace("    remote = storage\n", ""))
    try:
        with pytest.raises(UserError, match="`dvc remote add -d storage"):
            found(study, "")
    finally:
        study.git("checkout", "-q", ".dvc/config")


def test_secrets_stay_on_the_head():
    options = {"url": "s3://b/x", "endpointurl": "http://minio", "secret_access_key": "abc", "password": "def"}
    text = remote.config_of("storage", options, None)
    assert "s3://b/x" in text
    assert "http://minio" in text
    assert "abc" not in text
    assert "def" not in text
    text = remote.config_of("storage", {"url": "ssh://ann:geheim@host:22/x"}, None)
    assert "ssh://ann@host:22/x" in text


def test_the_password_of_an_mlflow_server_stays_on_the_head(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:geheim@host/mlflow")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    assert head.mlflow_server() == {"MLFLOW_TRACKING_URI": "https://host/mlflow"}


def test_inputs_are_what_other_stages_make_and_the_targets_read():
    stages = {
        "preprocess": orders.Stage(("stages/x", "data/raw.zip"), ("data/processed",)),
        "train@k": orders.Stage(("stages/train", "data/processed"), ("models/k", "reports/train/k")),
        "embed@k": orders.Stage(("data/processed", "models/k", "reports/train/k/rows.npz"), ("reports/embed/k",)),
    }
    assert orders.inputs(["train@k", "embed@k"], stages) == ["data/processed"]
    assert orders.inputs(["embed@k"], stages) == ["data/processed", "models/k", "reports/train/k/rows.npz"]
    lock = {"schema": "2.0", "stages": {name: {"cmd": name} for name in stages}}
    assert yaml.safe_load(orders.lock_for(["data/processed"], lock, stages))["stages"].keys() == {"preprocess"}


def test_all_stages_of_a_member_behind_one_without_a_result_run():
    targets = ["train@k", "evaluate@k", "embed@k", "explain@k"]
    assert head.from_first(targets, ["evaluate@k"]) == targets[1:]
    assert head.from_first(targets, []) == []


@pytest.mark.parametrize(("library", "launcher"), [("ray", on_ray.tasks), ("submitit", on_slurm.jobs)])
def test_a_library_that_is_missing_is_named_with_the_command_that_installs_it(monkeypatch, library, launcher):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match=r"pip install --no-deps -r requirements-(ray|slurm)\.txt"), launcher(Params()):
        pass


def test_without_slurm_here_the_message_says_so(monkeypatch, workspace):
    monkeypatch.setenv("PATH", str(workspace))
    with pytest.raises(UserError, match="srun"), on_slurm.jobs(Params(launcher="slurm")):
        pass


def test_a_model_that_no_node_can_run_is_refused():
    nodes = [
        {"Alive": True, "Resources": {"CPU": 8.0, "memory": 3e10}},
        {"Alive": False, "Resources": {"CPU": 8.0, "GPU": 4.0, "memory": 3e10}},
    ]
    on_ray.check_fits(Params(cluster=Cluster(cpus=8, memory_gb=30)), nodes)
    with pytest.raises(UserError, match=r"1 GPUs.*no node .* offers that. Nodes: 8 cores, 0 GPUs, 30 GB"):
        on_ray.check_fits(Params(cluster=Cluster(gpus=1)), nodes)


@pytest.mark.parametrize(
    ("trainer", "gpus", "message"),
    [({"accelerator": "gpu"}, 0, "Set it to 1"), ({"num_nodes": 2, "strategy": "ddp"}, 8, "num_nodes")],
)
def test_a_training_that_needs_more_than_the_cluster_is_asked_for_is_refused(repository, trainer, gpus, message):
    raw = core_settings.read(repository / "params.yaml")
    key = Matrix(**{axis: raw["matrix"][axis] for axis in ("backbone", "strategy", "sample")}).keys()[0]
    driver.check_devices(raw, key, Params(cluster=Cluster(gpus=gpus)))
    raw["train"]["trainer"] = trainer
    with pytest.raises(UserError, match=message):
        driver.check_devices(raw, key, Params(cluster=Cluster(gpus=gpus)))


class Handle:
    """A task that runs until it is cancelled."""

    def __init__(self) -> None:
        self.calls: list[bool] = []

    def report(self) -> worker.Report | None:
        if self.calls:
            raise jobs.Lost("cancelled")
        return None

    def cancel(self, *, insist: bool) -> None:
        self.calls.append(insist)


def test_an_interruption_cancels_what_was_submitted_and_submits_no_more(workspace):
    handles: list[Handle] = []
    received: list[float] = []

    def start(key, _):
        handles.append(Handle())
        if len(handles) == 2:
            received.append(0.0)
        return jobs.submit(key, {}, lambda _: handles[-1])

    class Watch:
        def started(self, *_): ...
        def finished(self, *_): ...

    with pytest.raises(KeyboardInterrupt):
        schedule.run_all([*KEYS, *KEYS], [jobs.Place("Ray")] * 2, start, Watch(), received, poll=0)
    assert [handle.calls for handle in handles] == [[False], [False]]


def test_a_task_that_takes_no_notice_is_ended_by_force(workspace):
    class Deaf(Handle):
        def report(self):
            return None

    handle = Deaf()
    schedule.stop([jobs.submit(KEYS[0], {}, lambda _: handle)], [], ((signal.SIGINT, 0.0), (signal.SIGTERM, 0.0)))
    assert handle.calls == [False, True]
