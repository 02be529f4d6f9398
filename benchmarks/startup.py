"""What starting costs: the study of params.yaml by `make run`'s command and by `dvc repro`, beside its computing alone.

python benchmarks/startup.py [--params FILE] [--jobs N]

Everything happens in a temporary copy of this repository. Ratios are taken within one run of this script. Beside them
stands what the libraries take by themselves: DVC for as many stages that copy a file, and the imports of a training.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
IMPORTS = "import lightning.pytorch, mlflow; mlflow.MlflowClient('sqlite:///imports.db').search_experiments()"
MADE = ("data", "reports", "models", "dvc.lock", ".dvc/cache", ".lightbox", "mlflow.db", "mlartifacts")


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock, and of all processors by this process and those that it waited for."""

    wall: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--params", type=Path, default=REPOSITORY / "params.yaml")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repro", action="store_true", help="measure a whole `dvc repro` as well")
    parser.add_argument("--computing", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.computing:
        print(json.dumps(computing()))
        return
    with tempfile.TemporaryDirectory() as folder:
        copy_repository(Path(folder), options.params)
        os.chdir(folder)
        measure(options.jobs, options.repro)


def measure(jobs: int, repro: bool) -> None:
    cores = len(os.sched_getaffinity(0))
    study, dvc = [sys.executable, "-m", "stages", "parallel", "--jobs", str(jobs)], [sys.executable, "-m", "dvc"]
    threads = {"OMP_NUM_THREADS": str(max(1, cores // jobs)), "MKL_NUM_THREADS": str(max(1, cores // jobs))}
    output = subprocess.run(
        [sys.executable, __file__, "--computing"], env=environment(**threads), stdout=subprocess.PIPE, check=True
    ).stdout
    stages: list[tuple[str, float, float]] = json.loads(output.splitlines()[-1])
    alone = Cost(sum(wall for _, wall, _ in stages), sum(cpu for *_, cpu in stages))
    print(f"{len(stages)} stages, {cores} cores, {jobs} models at a time")
    print(f"computing alone, one stage after the other: {alone.wall:.1f} s, {alone.cpu:.1f} s of CPU")
    version = best_wall([*dvc, "--version"])
    forget()
    whole = cost_of(study)
    row("whole study / (computing / cores)", whole.wall / (alone.cpu / cores), 1.3)
    row("CPU of a stage beyond its computing, s", (whole.cpu - alone.cpu) / len(stages), 1.5)
    row("nothing to do / dvc --version", best_wall(study) / version, 3.0)
    row("nothing to do, dvc repro / dvc --version", best_wall([*dvc, "repro", "--quiet"]) / version, 3.0)
    with empty_stages(len(stages)):
        row("  DVC alone: as many empty stages", best_wall([*dvc, "repro", "--quiet"]) / version)
    if repro:
        forget()
        plain = cost_of([*dvc, "repro"])
        row("CPU of a stage beyond its computing, dvc repro, s", (plain.cpu - alone.cpu) / len(stages), 4.0)
        cost_of([sys.executable, "-c", IMPORTS])  # makes the database
        row("  imports alone: Lightning, MLflow and its store, s", cost_of([sys.executable, "-c", IMPORTS]).cpu)


def row(what: str, value: float, bar: float | None = None) -> None:
    verdict = "" if bar is None else f"   bar {bar:.1f}   {'met' if value <= bar else 'missed'}"
    print(f"{what:52} {value:6.2f}{verdict}", flush=True)


@contextmanager
def empty_stages(number: int) -> Iterator[None]:
    """A finished pipeline of stages that only copy a file, as the working directory."""
    stages = "".join(
        f"  copy{i}:\n    cmd: cp original copy{i}\n    deps: [original]\n    outs: [copy{i}]\n" for i in range(number)
    )
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        subprocess.run(["git", "init", "-q"], check=True)
        Path("original").touch()
        Path("dvc.yaml").write_text(f"stages:\n{stages}")
        for command in (["init", "-q"], ["config", "core.analytics", "false"], ["repro", "-q"]):
            cost_of([sys.executable, "-m", "dvc", *command])
        yield


def cost_of(command: Sequence[str]) -> Cost:
    before, since = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment(), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(time.perf_counter() - since, used)


def best_wall(command: Sequence[str]) -> float:
    """Seconds of the fastest of three: another program on the machine makes some of them slower."""
    return min(cost_of(command).wall for _ in range(3))


def computing() -> list[tuple[str, float, float]]:
    """(stage, seconds, seconds of CPU) of every stage, all in this process, whose imports do not count."""
    sys.path.insert(0, os.getcwd())
    from stages import checking, study
    from stages.shared.core import settings
    from stages.shared.core.allocator import keep_freed_memory
    from stages.shared.core.job import Job

    raw, costs = settings.read(), []
    keep_freed_memory()
    for stage, module in study.STAGES.items():
        importlib.import_module(f"stages.{stage}.stage")
        for key in checking.check_all(raw) if stage in study.PER_MEMBER else [None]:
            params, since, used = study.resolve(stage, raw, key), time.perf_counter(), cpu()
            module.run(params, Job(key)).discard()
            costs.append((stage, time.perf_counter() - since, cpu() - used))
    return costs


def cpu() -> float:
    uses = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(use.ru_utime + use.ru_stime for use in uses)


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "MLFLOW_", "LIGHTBOX_"))}
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "OMP_WAIT_POLICY": "PASSIVE", "LIGHTBOX_DEFER_SUMMARY": "1", **more}


def copy_repository(target: Path, params: Path) -> None:
    """What git would clone, uncommitted edits included, with these params."""
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, names.split("\0")):
        if (REPOSITORY / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, target / name)
    shutil.copy(params, target / "params.yaml")
    subprocess.run(["git", "init", "-q"], cwd=target, check=True)


def forget() -> None:
    """Delete all that a run has made, but the weights to start from."""
    for name in MADE:
        for path in [Path(name)] if name != "models" else [p for p in Path(name).iterdir() if p.name != "pretrained"]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    Path("data/folder").mkdir(parents=True)


if __name__ == "__main__":
    main()
