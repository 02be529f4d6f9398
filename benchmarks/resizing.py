"""Progressive resizing against the full size throughout: the time to the same validation AUROC on real films.

    python benchmarks/resizing.py FOLDER                          FOLDER/<class>/…, e.g. chest X-rays
    python benchmarks/resizing.py FOLDER --backbone resnet18 --size 224 --epochs 15
    python benchmarks/resizing.py FOLDER --backbone resnet18 --from-scratch --cpu-time     on a machine that others use

For each seed both are trained, one after the other, first one and then the other first. The level to reach is the lower
one of the two best AUROCs of that seed; the time is that of the end of the first epoch that reaches it, validation at
full size included. The backbone and its weights are those that params.yaml declares.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import films
import pandas as pd

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

RESIZE = {"start": 0.5, "until": 0.6}


def main() -> None:
    options = arguments()
    images = options.images.resolve()
    with tempfile.TemporaryDirectory(prefix="resizing-") as folder:
        os.chdir(folder)
        counts = films.prepare(str(images), options.count, options.size, 0)
        print(f"{counts['train']} training and {counts['val']} validation images of {options.size} px")
        ratios = [compare(options, seed) for seed in range(options.seeds)]
    for name in ("to the same AUROC", "of the whole training"):
        values = [ratio[name] for ratio in ratios]
        spread = f"{min(values):.2f} to {max(values):.2f}"
        print(f"time {name}, full size ÷ resized: median {statistics.median(values):.2f} ({spread})")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Progressive resizing: time to the same validation AUROC.")
    parser.add_argument("images", type=Path, help="a folder of class folders")
    parser.add_argument("--count", type=int, default=400, help="images, test images not counted")
    parser.add_argument("--size", type=int, default=128, help="pixels")
    parser.add_argument("--backbone", default="efficientnet_lite0", help="of params.yaml")
    parser.add_argument("--from-scratch", action="store_true", help="without its weights")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=0.001)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cpu-time", action="store_true", help="of the process, instead of the clock's")
    return parser.parse_args()


def compare(options: argparse.Namespace, seed: int) -> dict[str, float]:
    """Full size ÷ resized: seconds to the same AUROC, and of the whole training."""
    ways: list[tuple[str, Any]] = [("full size", None), ("resized", RESIZE)]
    curves = {name: history(options, seed, resize) for name, resize in (ways if seed % 2 == 0 else ways[::-1])}
    level = min(curve["val_auroc"].max() for curve in curves.values())
    seconds = {name: seconds_to(curve, level) for name, curve in curves.items()}
    for name, curve in curves.items():
        best, total = curve["val_auroc"].max(), curve["elapsed"].iloc[-1]
        print(f"seed {seed}  {name:9}  AUROC {level:.4f} after {seconds[name]:.1f} s of {total:.1f} s; best {best:.4f}")
    totals = {name: curve["elapsed"].iloc[-1] for name, curve in curves.items()}
    pairs = {"to the same AUROC": seconds, "of the whole training": totals}
    return {name: times["full size"] / times["resized"] for name, times in pairs.items()}


def seconds_to(curve: pd.DataFrame, level: float) -> float:
    """At the end of the first epoch whose AUROC reaches the level."""
    return float(curve.loc[curve["val_auroc"] >= level, "elapsed"].iloc[0])


def history(options: argparse.Namespace, seed: int, resize: dict[str, float] | None) -> pd.DataFrame:
    """history.csv of one training; its column elapsed is by the clock, or of CPU time."""
    from stages.shared.core import settings
    from stages.shared.core.allocator import keep_freed_memory
    from stages.shared.core.job import Job
    from stages.shared.core.paths import Key, report_dir
    from stages.train import Params, run

    keep_freed_memory()  # as `python -m stages train` does
    backbone = settings.read(HERE.parent / "params.yaml")["backbones"][options.backbone]
    strategy: dict[str, Any] = {"plan": "fine_tune", "last_blocks": "all", "backbone_lr": 1.0}
    if options.from_scratch:
        backbone, strategy = {**backbone, "weights": "none"}, {"plan": "from_scratch"}
    params = {
        "task": "classification",
        "seed": seed,
        "backbone": backbone,
        "strategy": strategy,
        "sample": {"fraction": 1.0},
        "epochs": options.epochs,
        "batch_size": 32,
        "optimizer": {"name": "adam", "lr": options.lr},
        "schedule": {"name": "cosine"},
        "early_stopping": {"monitor": "val_auroc", "patience": None},
        "augment": [{"HorizontalFlip": {"p": 0.5}}],
        "precision": "auto",
        "channels_last": "auto",
        "resize": resize,
    }
    key = Key(options.backbone, strategy["plan"], "full")
    clock = patch("stages.train.loop.history.time", SimpleNamespace(monotonic=time.process_time))
    with clock if options.cpu_time else nullcontext():
        run(Params.model_validate(params), Job(key)).discard()
    return pd.read_csv(report_dir("train", key) / "history.csv")


if __name__ == "__main__":
    main()
