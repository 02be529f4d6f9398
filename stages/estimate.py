"""How long a study will train on this machine, before it starts: what `python -m stages use` says of a preset.

Each backbone passes a few images forward, for the seconds that an image takes, and its blocks count their operations,
for how these divide over the blocks. The plans of the strategies then say what learns in which epoch. A backward pass
counts as twice the forward pass. Not counted: decoding, starting of processes, and that a training may stop early.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile, is_zipfile

from . import study
from .shared.core.paths import find_input
from .shared.images.kinds import SUFFIXES

if TYPE_CHECKING:
    from .train.params import Params

BATCH = 4  # images of a measured pass
PASSES = 2  # of which the fastest counts; the first prepares kernels
UNITS = (("second", 1), ("minute", 60), ("hour", 3600), ("day", 86400))


@dataclass(frozen=True)
class Pace:
    """Of one model. `forward`: seconds an image. `shares`: of the blocks of the backbone and of the head, in order."""

    forward: float
    shares: Mapping[str, float]


def count_images(raw: Mapping[str, Any], published: int | None) -> int | None:
    """How many images the study's source has: drawn, in the folder, in the archive, or as published; None: unknown."""
    source = raw["download"]["source"]
    if source == "phantom":
        phantom = study.resolve("download", raw).phantom
        return int(phantom.patients * sum(phantom.images_per_patient) / 2)
    if source != "folder":
        return published
    path = find_input(raw["download"]["folder"]["path"])
    if path.is_dir():
        return sum(file.suffix.lower() in SUFFIXES for file in path.rglob("*"))
    if is_zipfile(path):
        with ZipFile(path) as archive:
            return sum(Path(name).suffix.lower() in SUFFIXES for name in archive.namelist())
    return published


def seconds(raw: Mapping[str, Any], images: int) -> float:
    """Of all models of the study, with `images` in all, where no training stops early."""
    paces: dict[tuple[str, bool], Pace] = {}
    preprocess, classes = study.resolve("preprocess", raw), len(study.resolve("validate", raw).classes)
    split = preprocess.split
    test, validation = images * split.test, images * (1 - split.test) / split.folds
    keys, total = study.parse_matrix(raw).keys(), 0.0
    for key in keys:
        params: Params = study.resolve("train", raw, key)
        kind = (key.backbone, params.architecture.memory is None)
        if kind not in paces:
            paces[kind] = measure(params, preprocess.spec.height_width)
        training = images - test - validation
        sample = params.sample
        training = min(training, sample.per_class * classes) if sample.per_class else training * sample.fraction
        passes = training_passes(params, paces[kind], training, validation) + 2 * (test + validation) + training
        total += paces[kind].forward * passes
    return total


def training_passes(params: Params, pace: Pace, training: float, validation: float) -> float:
    """In forward passes of one image."""
    from .train.plan.strategies import HEAD, make_plan

    blocks = [name for name in pace.shares if name != HEAD]
    plan = make_plan(params.strategy, blocks, params.epochs)
    each = max(training, params.min_steps_per_epoch * params.batch_size)
    kept = params.cache.views if params.cache.enabled else len(plan)
    passes = 0.0
    for number, epoch in enumerate(plan):
        learning = [name for name in pace.shares if epoch[name] is not None]
        first = list(pace.shares).index(learning[0]) if learning else len(pace.shares)
        for at, (name, part) in enumerate(pace.shares.items()):
            if at < first:  # frozen: computed once per view, then kept
                passes += part * ((training + validation * (number == 0)) if number < kept else 0)
            else:
                passes += part * (each * (3 if name in learning else 2) + validation)
    return passes


def measure(params: Params, size: tuple[int, int]) -> Pace:
    """The seconds of this machine: of its GPU where there is one."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from .shared.model.memories.memory import Memory
    from .shared.tasks.models import create
    from .train.plan.strategies import HEAD

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = create(params.task, params.architecture, 2).to(device).eval()
    images = torch.zeros(BATCH, 3, *size, dtype=torch.uint8, device=device)

    def forward() -> float:
        since = time.perf_counter()
        encoded = model.encode(model.normalise(images))
        if not isinstance(model.head, Memory):  # an empty one answers nothing
            model.decode(encoded, size)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - since

    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            forward()
        fastest = min(forward() for _ in range(PASSES))
    counts = {module: sum(kinds.values()) for module, kinds in counter.get_flop_counts().items()}
    operations = {
        block: sum(counts.get(f"Backbone.network.{part}", 0) for part in parts)
        for block, parts in model.backbone.blocks.items()
    }
    operations[HEAD] = counts["Global"] - sum(operations.values())
    return Pace(fastest / BATCH, {name: count / counts["Global"] for name, count in operations.items()})


def in_words(duration: float) -> str:
    """Seconds as a round number of the largest unit that has at least two of them: about 40 minutes, about 3 hours."""
    unit, length = [pair for pair in UNITS if duration >= 2 * pair[1]][-1] if duration >= 2 else UNITS[0]
    number = max(1.0, duration / length)
    step = 10 ** (len(str(round(number))) - 1) if number >= 20 else 1
    rounded = round(number / step) * step
    return f"about {rounded} {unit}{'s' * (rounded != 1)}"


def show(raw: Mapping[str, Any], published: int | None, download_gb: float) -> None:
    """Prints what the study will cost before it starts: the download, and the training on this machine."""
    images = count_images(raw, published)
    if raw["download"]["source"] == "kaggle" and download_gb:
        print(f"Download: about {download_gb:g} GB. ", end="")
    if images:
        print(f"{images:,} images; measuring how long they train on this machine …", flush=True)
        print(f"Training: {in_words(seconds(raw, images))}, one model after the other, where none stops early.")
