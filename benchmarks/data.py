"""How validate and preprocess grow with the number of images, beside decoding and the same OpenCV steps alone.

    python benchmarks/data.py [--images 1000,10000,50000] [--size 224] [--file 512] [--rounds 2]

For each number: the images per second of both stages and of the bare work on all cores, their ratio, the peak of the
memory, and how much faster the stages are once more after 1% new images have joined; then `dvc status`. Imports are not
counted. The sides take turns, and the fastest of their rounds counts: what else the machine does only makes them
slower. The images are grey JPEG files of smooth noise, two of each patient, each unlike all others, in one archive.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))
from meter import Memory

from stages.shared.core.paths import RAW

if TYPE_CHECKING:
    from stages.shared.images.archive import Archive

CLASSES = ("normal", "ill")
VALIDATE = {"classes": {label: f"{label}/*" for label in CLASSES}, "patient": r"p\d+"}
IMPORTED = {"validate": ("stage", "suite", "shortcuts.measure"), "preprocess": ("stage",)}
EARLIER = Path(".lightbox")
SHARE = 0.01  # of new images
THROUGHPUT, MEMORY, AGAIN, STATUS = 0.85, 2048, 10, 2.0  # the bars

Numbers = dict[str, float]
archive: Archive  # of a worker


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", default="1000,10000,50000", help="numbers of images, with commas")
    parser.add_argument("--size", type=int, default=224, help="pixels of the arrays")
    parser.add_argument("--file", type=int, default=512, help="pixels of the files")
    parser.add_argument("--rounds", type=int, default=2, help="of each measurement; the fastest counts")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        what, size = options.measure
        print(json.dumps(MEASURES[what](int(size))))
        return
    print(f"{len(os.sched_getaffinity(0))} cores, files of {options.file} pixels, arrays of {options.size}")
    print(f"{'images':>8} {'stage':>10} {'images/s':>9} {'alone':>7} {'ratio':>6} {'MB':>6} {'1% new':>7}")
    for count in map(int, options.images.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            rows(count, options.size, options.file, options.rounds)
            os.chdir("/")


def rows(count: int, size: int, file: int, rounds: int) -> None:
    Path("expectations.yaml").touch()  # validate reads one: none of our own here
    draw(count, file)
    stages = ("validate", "preprocess")
    first, alone, again = dict[str, Numbers](), dict[str, Numbers](), dict[str, Numbers]()
    for _ in range(rounds):
        shutil.rmtree(EARLIER, ignore_errors=True)
        for what in stages:
            faster(first, what, measured(what, size))
            faster(alone, what, measured(f"{what}_alone", size))
    status = seconds_of_status()
    shutil.copytree(EARLIER, "earlier", copy_function=os.link)
    draw(round(count * (1 + SHARE)), file)
    for _ in range(rounds):
        shutil.rmtree(EARLIER)
        shutil.copytree("earlier", EARLIER, copy_function=os.link)
        for what in stages:
            faster(again, what, measured(what, size))
    for what, run in first.items():
        ratio = alone[what]["seconds"] / run["seconds"]
        gain = run["seconds"] / again[what]["seconds"]
        print(
            f"{count:8,} {what:>10} {count / run['seconds']:9,.0f} {count / alone[what]['seconds']:7,.0f} "
            f"{ratio:6.2f} {run['memory']:6,.0f} {gain:6.1f}×", flush=True
        )  # fmt: skip
    print(f"{count:8,} dvc status {status:8.1f} s")


def faster(best: dict[str, Numbers], what: str, run: Numbers) -> None:
    """Keep the shortest time and the largest memory."""
    before = best.get(what, run)
    best[what] = {"seconds": min(before["seconds"], run["seconds"]), "memory": max(before["memory"], run["memory"])}


def measured(what: str, size: int) -> Numbers:
    """`seconds` of the work without imports, and `memory`, the peak of its process and workers in MB."""
    command = [sys.executable, __file__, "--measure", what, str(size)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    memory = Memory(process.pid)
    memory.start()
    output = process.communicate()[0]
    peak = memory.stop()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: failed with {process.returncode}")
    return {**json.loads(output.splitlines()[-1]), "memory": peak}


# The images


def draw(count: int, file: int) -> None:
    """data/raw.zip with `count` images; of another number the first ones are the same."""
    from stages.shared.images.archive import write_archive

    with multiprocessing.Pool() as pool:
        films = pool.imap(film, ((number, file) for number in range(count)), chunksize=64)
        write_archive(RAW, films)


def film(job: tuple[int, int]) -> tuple[str, bytes]:
    """Name and bytes of one image: noise of 12×12 points, enlarged, with grain."""
    import cv2
    import numpy as np

    number, file = job
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 256, (12, 12), dtype=np.uint8)
    image = cv2.resize(coarse, (file, file), interpolation=cv2.INTER_CUBIC)
    grain = cv2.resize(rng.integers(0, 12, (64, 64), dtype=np.uint8), (file, file), interpolation=cv2.INTER_NEAREST)
    patient = number // 2
    data = cv2.imencode(".jpg", cv2.add(image, grain))[1].tobytes()
    return f"{CLASSES[patient % 2]}/p{patient:06d}_{number % 2}.jpg", data


# What is measured, each in a process of its own


def validate(_: int) -> Numbers:
    return stage_alone("validate", VALIDATE)


def preprocess(size: int) -> Numbers:
    return stage_alone("preprocess", {"size": size, "steps_on": "resized"})


def stage_alone(name: str, params: dict[str, Any]) -> Numbers:
    import importlib

    from stages.shared.core.job import Job

    stage = importlib.import_module(f"stages.{name}")
    for module in IMPORTED[name]:
        importlib.import_module(f"stages.{name}.{module}")
    settings = stage.Params.model_validate(params)
    stage.check(settings)  # imports albumentations
    start = time.perf_counter()
    stage.run(settings, Job()).discard()
    return {"seconds": time.perf_counter() - start}


def validate_alone(_: int) -> Numbers:
    """Every image inspected, by all cores, and nothing else."""
    from stages.shared.images.archive import Archive

    names = Archive(RAW).names()
    with multiprocessing.get_context("spawn").Pool(initializer=open_archive) as pool:
        pool.map(inspect, names[:64], chunksize=16)  # the imports
        start = time.perf_counter()
        for _image in pool.imap(inspect, names, chunksize=16):
            pass
    return {"seconds": time.perf_counter() - start}


def open_archive() -> None:
    """One for all images of a process: to open it is to read the names of all its members."""
    from stages.shared.images.archive import Archive

    global archive
    archive = Archive(RAW)


def inspect(name: str) -> object:
    from stages.validate.inspection import inspect_image

    return inspect_image(archive.read(name), name, 16)


def preprocess_alone(size: int) -> Numbers:
    """Every image decoded, resized and equalised by all cores, and nothing kept."""
    import cv2
    import numpy as np

    from stages.shared.images.archive import Archive
    from stages.shared.images.decode import decode, to_array

    archive = Archive(RAW)
    cv2.setNumThreads(1)

    def made(name: str) -> np.ndarray:
        image = to_array(decode(archive.read(name), name), "grey")
        small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
        return cv2.createCLAHE(2.0, (8, 8)).apply(small)

    start = time.perf_counter()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for _image in batches(pool, made, archive.names()):
            pass
    return {"seconds": time.perf_counter() - start}


def batches(pool: ThreadPoolExecutor, work: Any, names: list[str]) -> Iterator[Any]:
    """A thousand at a time: `map` alone would hold every result."""
    for at in range(0, len(names), 1000):
        yield from pool.map(work, names[at : at + 1000])


def seconds_of_status() -> float:
    """Of `dvc status` in a repository that tracks these files as dvc.yaml does."""
    dvc = [sys.executable, "-m", "dvc"]
    Path("dvc.yaml").write_text(
        "stages:\n"
        "  validate: {cmd: 'true', deps: [data/raw.zip], outs: [data/manifest.parquet, reports/validate]}\n"
        "  preprocess: {cmd: 'true', deps: [data/raw.zip, data/manifest.parquet], outs: [data/processed]}\n"
    )
    subprocess.run([*dvc, "init", "--no-scm", "--quiet"], check=True)
    subprocess.run([*dvc, "commit", "--force", "--quiet"], check=True)
    start = time.perf_counter()
    subprocess.run([*dvc, "status", "--quiet"], check=True)
    return time.perf_counter() - start


MEASURES = {
    "validate": validate,
    "preprocess": preprocess,
    "validate_alone": validate_alone,
    "preprocess_alone": preprocess_alone,
}

if __name__ == "__main__":
    main()
