"""Three ways to train, side by side on the same images: (a) the usual way, (b) fastai, (c) this pipeline.

    python benchmarks/training.py                     synthetic films, on which it takes about ten minutes on two cores
    python benchmarks/training.py --images FOLDER     a folder of class folders, e.g. chest X-rays
    python benchmarks/training.py --only memory       one part alone

Every training is a process of its own; they take turns (a b c a b c …), so that a busy moment hits all alike. See
benchmarks/README.md for what is compared with what.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from itertools import count
from pathlib import Path
from typing import Any

import tables
from meter import Memory

HERE = Path(__file__).parent
TASKS = {
    "resnet18": ("resnet18", "fine_tune"),
    "efficientnet_b0": ("efficientnet_b0", "fine_tune"),
    "features": ("resnet18", "feature_extraction"),
}
PARTS = [*TASKS, "memory"]
ROWS = (1_000, 50_000)  # of the two sparse arrays of the memory check
NUMBERS = count()  # of the trainings


def main() -> None:
    options = arguments()
    if options.smoke:
        small = {"count": 48, "size": 64, "film": 96, "epochs": 1, "feature_epochs": 2, "repetitions": 1}
        vars(options).update(small, rows=(100, 1000))
    contenders = [c for c in "abc" if c != "b" or fastai_version(options)]
    with workplace(options.keep) as folder:
        tell("preparing the images: download, validate, preprocess")
        films = run_job(folder, options, {**vars(options), "work": "prepare", "networks": networks(options)})
        results = {}
        for task in (t for t in options.only if t in TASKS):
            results[task] = compare(task, contenders, folder, options)
        memory = memory_check(folder, options) if "memory" in options.only else {}
    text = tables.page(options, films, results, memory, fastai_version(options), tables.machine())
    print(text)
    if options.output:
        Path(options.output).write_text(text, encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--images", help="a folder of class folders (default: synthetic films)")
    add("--count", type=int, default=160, help="images used for training and validation (default 160)")
    add("--size", type=int, default=224, help="pixels that the networks see (default 224)")
    add("--film", type=int, default=512, help="pixels of the synthetic films (default 512)")
    add("--epochs", type=int, default=2, help="of fine-tuning (default 2)")
    add("--feature-epochs", type=int, default=20, help="of feature_extraction (default 20)")
    add("--batch-size", type=int, default=32)
    add("--repetitions", type=int, default=3, help="(default 3)")
    add("--workers", type=int, help="of (a) and (b); default: 0 or 2, whatever is faster in a short trial")
    add("--only", nargs="+", choices=PARTS, default=PARTS, help=f"parts to run (default: {' '.join(PARTS)})")
    add("--set", type=json.loads, default={}, metavar="JSON", help='other train settings of (c): {"precision": …}')
    add("--fastai", help="a folder that fastai was installed into with pip's --target")
    add("--output", help="write the tables there, too (markdown)")
    add("--keep", help="work in this folder and leave it (default: a temporary one)")
    add("--smoke", action="store_true", help="tiny, to see that it runs; its numbers mean nothing")
    parser.set_defaults(rows=ROWS)
    options = parser.parse_args()
    for name in ("images", "fastai"):  # the jobs run in folders of their own
        if getattr(options, name):
            setattr(options, name, str(Path(getattr(options, name)).resolve()))
    return options


def networks(options: argparse.Namespace) -> list[str]:
    return sorted({TASKS[t][0] for t in options.only if t in TASKS})


def fastai_version(options: argparse.Namespace) -> str | None:
    """None: not installed."""
    path = [options.fastai] if options.fastai else sys.path
    return next((d.version for d in metadata.distributions(name="fastai", path=path)), None)


@contextmanager
def workplace(keep: str | None) -> Iterator[Path]:
    if keep:
        Path(keep).mkdir(parents=True)
        yield Path(keep).resolve()
        return
    with tempfile.TemporaryDirectory(prefix="lightbox-benchmark-") as folder:
        yield Path(folder)


def compare(task: str, contenders: list[str], folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """By contender: its measurements, one a repetition."""
    network, strategy = TASKS[task]
    fine = strategy == "fine_tune"
    job = {
        "work": "train",
        "network": network,
        "strategy": strategy,
        "flip": fine,
        "epochs": options.epochs if fine else options.feature_epochs,
        "size": options.size,
        "batch_size": options.batch_size,
        "set": options.set,
    }
    workers = {c: faster_workers(c, job, folder, options) for c in contenders if c != "c"}
    found: dict[str, list[dict[str, Any]]] = {c: [] for c in contenders}
    for repetition in range(options.repetitions):
        for contender in contenders:
            ran = run_training(folder, options, {**job, "contender": contender, "workers": workers.get(contender, 0)})
            found[contender].append(ran)
            tell(f"{task} {repetition + 1}/{options.repetitions} ({contender}): {ran['seconds']:.1f} s")
    return {"runs": found, "workers": workers, "job": job}


def faster_workers(contender: str, job: dict[str, Any], folder: Path, options: argparse.Namespace) -> int:
    """DataLoader workers that suit this contender here: a short trial of each, half an epoch's worth being enough."""
    if options.workers is not None:
        return int(options.workers)
    epochs = 1 if job["strategy"] == "fine_tune" else 3
    seconds = {}
    for workers in (0, 2):
        trial = {**job, "contender": contender, "workers": workers, "epochs": epochs}
        seconds[workers] = run_training(folder, options, trial)["seconds"]
        tell(f"{job['network']} ({contender}): trial with {workers} workers: {seconds[workers]:.1f} s")
    return min(seconds, key=seconds.__getitem__)


def run_training(folder: Path, options: argparse.Namespace, job: dict[str, Any]) -> dict[str, Any]:
    """In a fresh folder, so that nothing is cached."""
    place = folder / f"run-{next(NUMBERS)}"
    place.mkdir()
    for name in ("data", "files", "weights"):
        if (folder / name).exists():
            (place / name).symlink_to(folder / name, target_is_directory=True)
    answer = run_job(place, options, job)
    if not options.keep:
        shutil.rmtree(place)
    return answer


def run_job(place: Path, options: argparse.Namespace, job: dict[str, Any]) -> dict[str, Any]:
    """The answer of benchmarks/job.py, and the peak memory it took."""
    path = [str(HERE.parent), *([options.fastai] if options.fastai else []), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(p for p in path if p),
        "OMP_WAIT_POLICY": "PASSIVE",  # for all three, as the stages have it
    }
    environment.pop("DVC_ROOT", None)
    command = [sys.executable, str(HERE / "job.py"), json.dumps(job)]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=said)
        memory = Memory(process.pid)
        memory.start()
        try:
            answer = process.communicate()[0].decode()
        finally:
            process.kill()  # nothing to kill, unless we are interrupted
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{said.read().decode()[-4000:]}\nerror: {job} ended with {process.returncode}")
    return {**json.loads(answer.strip().splitlines()[-1]), "peak": memory.stop()}


def memory_check(folder: Path, options: argparse.Namespace) -> dict[int, dict[str, Any]]:
    """By number of images: a few steps of resnet18 on sparse arrays."""
    found = {}
    for rows in options.rows:
        place = folder / f"rows-{rows}"
        place.mkdir()
        job = {"network": "resnet18", "size": options.size, "rows": rows}
        run_job(place, options, {**job, "work": "sparse"})
        train = {"strategy": "fine_tune", "flip": True, "epochs": 1, "batch_size": options.batch_size}
        found[rows] = run_training(
            place, options, {**job, **train, "work": "train", "contender": "c", "set": options.set, "steps": 4}
        )
        tell(f"memory with {rows:,} images: {found[rows]['peak'] - found[rows]['anonymous_before']:.0f} MB")
    return found


def tell(text: str) -> None:
    print(f"benchmark: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
