"""Memories of normal images beside anomalib's: patch_knn and PatchCore, padim and PaDiM.

    python benchmarks/anomaly.py --anomalib FOLDER                    synthetic films
    python benchmarks/anomaly.py --anomalib FOLDER --params FILE --backbone efficientnet_lite0 --size 128
    python benchmarks/anomaly.py                                      ours alone

FILE: a params.yaml such as `python -m stages use pneumonia_anomaly --images FOLDER` writes; its first class is the
normal one. Both have the same arrays, the same normal training images, and the same backbone with the same weights and
maps. --coreset: share of the patches that both keep; anomalib takes long to choose many.

Every run is a process of its own, on one core. The contenders take turns, and ratios of CPU time are taken turn by
turn: another program on the machine slows down both alike. anomalib's models run without its Engine, which would add to
them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from meter import Memory, anonymous
from torch import nn
from trainings import OURS, Raw, prepared

from stages import study
from stages.shared.arrays.arrays import Arrays, load_arrays
from stages.shared.core.allocator import keep_freed_memory
from stages.shared.core.paths import Key
from stages.shared.measures.intervals import draws, percentile_interval
from stages.shared.measures.statistics import auroc, once
from stages.shared.model import detectors
from stages.shared.model.memories.memory import Memory as Head
from stages.shared.model.predict import as_tensor, batches
from stages.shared.tasks import anomaly
from stages.shared.tasks.models import create
from stages.train.params import Params
from stages.train.sample import select
from stages.train.start.start import find_start, load_weights

METHODS = {"patch_knn": "PatchCore", "padim": "PaDiM"}  # ours, and anomalib's name of it
BATCH = 32  # images, anomalib's default
EVERY = 0.05  # seconds between two looks at the memory of a process
STUDY = Path("study.json")  # params.yaml, for the runs
COSTS = {
    "fit": "fitting",
    "score": "scoring",
    "memory": "scoring without the backbone",
    "peak": "peak memory",
}


class Backbone:
    """CPU seconds that are spent in the backbone."""

    def __init__(self) -> None:
        self.seconds, self._since = 0.0, 0.0

    def enter(self, *_: object) -> None:
        self._since = time.process_time()

    def leave(self, *_: object) -> None:
        self.seconds += time.process_time() - self._since


def comparison(params: Params) -> detectors.Comparison:
    """As the train stage makes it, with the weights it starts from."""
    torch.manual_seed(params.training_seed)
    model = create(params.task, params.architecture, 2)
    assert isinstance(model, detectors.Comparison)
    load_weights(model.backbone, find_start(params.backbone))
    return model.eval()


class Ours:
    """Fitted as train/fitting.py does."""

    def __init__(self, params: Params, backbone: Backbone) -> None:
        self.model, self.seed, self.backbone = comparison(params), params.training_seed, backbone
        keep_freed_memory()  # as `python -m stages train` does

    def fit(self, images: Sequence[torch.Tensor]) -> None:
        head = self.model.head
        assert isinstance(head, Head)
        head.begin(sum(map(len, images)), self.seed)
        for batch in images:
            head.add(self.encode(batch))
        head.finish()

    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        normalised = self.model.normalise(images)
        self.backbone.enter()
        encoded = self.model.encode(normalised)
        self.backbone.leave()
        return encoded

    def score(self, images: torch.Tensor) -> torch.Tensor:
        """B; maps are computed, too."""
        size = (images.shape[2], images.shape[3])
        outputs = self.model.decode(self.encode(images), size)
        detectors.maps(outputs, size)
        return detectors.scores(outputs)


class Anomalibs:
    """anomalib's model of the same method and settings, around the same backbone."""

    def __init__(self, params: Params, backbone: Backbone) -> None:
        ours = comparison(params)
        layers = [layer.module for layer in ours.layers]
        network, strategy = ours.backbone.network, params.strategy
        # timm's networks by their names, as its users do: torch's tracer does not know all of their layers
        own: Any = params.architecture.name if params.architecture.source == "timm" else network
        self.model: nn.Module
        self.finish: Callable[[], None]
        if strategy.plan == "patch_knn":
            from anomalib.models.image.patchcore.torch_model import PatchcoreModel

            patchcore = PatchcoreModel(layers, own, pre_trained=False, num_neighbors=strategy.neighbours)
            self.model, self.finish = patchcore, lambda: patchcore.subsample_embedding(strategy.coreset)
        else:
            from anomalib.models.image.padim.torch_model import PadimModel

            padim = PadimModel(own, layers, pre_trained=False, n_features=strategy.channels)
            padim.idx = ours.head.channels
            self.model, self.finish = padim, padim.fit
        extractor = self.model.feature_extractor
        if isinstance(own, str):
            weights = network.state_dict()
            extractor.feature_extractor.load_state_dict(
                {name: weights[name] for name in extractor.feature_extractor.state_dict()}
            )
        extractor.register_forward_pre_hook(backbone.enter)
        extractor.register_forward_hook(backbone.leave)
        self.normalise = ours.normalise

    def fit(self, images: Sequence[torch.Tensor]) -> None:
        self.model.train()
        for batch in images:
            self.model(self.normalise(batch))
        self.finish()
        self.model.eval()

    def score(self, images: torch.Tensor) -> torch.Tensor:
        """B; maps are computed, too."""
        scores: torch.Tensor = self.model(self.normalise(images)).pred_score
        return scores.flatten()


CONTENDERS = {"lightbox": Ours, "anomalib": Anomalibs}


def main() -> None:
    options = arguments()
    if options.anomalib:
        sys.path.append(str(options.anomalib))
    if options.run:
        torch.set_num_threads(1)
        print(json.dumps(measured(options, *options.run)))
        return
    with prepared(options) as raw:
        options.folder = Path.cwd()
        STUDY.write_text(json.dumps(raw), encoding="utf-8")  # with paths that are right from here
        index = load_arrays().index
        rows = normal_rows(settings(raw, options, "patch_knn"), load_arrays())
        test = index[index["split"] == "test"]
        print(f"{len(rows)} normal images fit, {len(test)} test images are scored, {options.size} px")
        for method in METHODS:
            report(method, runs(options, method), test["label"].cat.codes.to_numpy() > 0, test["group"].to_numpy())


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=OURS, help="of the study (default: ours)")
    parser.add_argument("--backbone", default="small_cnn", help="of the study")
    parser.add_argument("--size", type=int, default=64, help="pixels")
    parser.add_argument("--coreset", type=float, help="of patch_knn (default: the study's)")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="work here, and do not repeat what is there (default: temporary)")
    parser.add_argument("--anomalib", type=Path, help="a folder that anomalib was installed into with pip's --target")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    parser.set_defaults(epochs=1)
    options = parser.parse_args()
    options.anomalib = options.anomalib and options.anomalib.resolve()  # the runs have a working directory of their own
    return options


def settings(raw: Raw, options: argparse.Namespace, method: str) -> Params:
    """Of the training of one of METHODS."""
    train = {**raw["train"], "loss": {"name": "reconstruction"}, "class_weights": "none"}
    key, strategies = Key(options.backbone, method, "full"), raw["strategies"]
    if options.coreset:
        strategies = {**strategies, "patch_knn": {**strategies["patch_knn"], "coreset": options.coreset}}
    params: Params = study.resolve("train", {**raw, "task": "anomaly", "train": train, "strategies": strategies}, key)
    return params


def normal_rows(params: Params, arrays: Arrays) -> np.ndarray:
    """Of the images that fit a memory."""
    return select(arrays.index, params.sample, anomaly.usable(arrays.index), anomaly.learnable(arrays.index)).train


def runs(options: argparse.Namespace, method: str) -> dict[str, list[dict[str, Any]]]:
    """What each contender measured, turn by turn."""
    names = list(CONTENDERS) if options.anomalib else ["lightbox"]
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for turn in range(options.turns):
        for name in names if turn % 2 == 0 else names[::-1]:
            results[name].append(run(options, method, name))
    return results


def run(options: argparse.Namespace, method: str, name: str) -> dict[str, Any]:
    """In a process of its own, watched from here."""
    given = {key: getattr(options, key) for key in ("backbone", "folder", "anomalib", "coreset")}
    flags = [f"--{key}={value}" for key, value in given.items() if value is not None]
    command = [sys.executable, str(Path(__file__).resolve()), *flags, "--run", method, name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    memory = Memory(process.pid, EVERY)
    memory.start()
    output, errors = process.communicate()
    peak = memory.stop()
    if process.returncode:
        raise SystemExit(f"error: {name}, {method}:\n{errors}")
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return {**result, "peak": peak - result["before"]}


@torch.inference_mode()
def measured(options: argparse.Namespace, method: str, name: str) -> dict[str, Any]:
    """CPU seconds of fitting; of scoring an image, and of that without the backbone; the scores; MB before all that."""
    os.chdir(options.folder)
    params = settings(json.loads(STUDY.read_text(encoding="utf-8")), options, method)
    arrays, backbone = load_arrays(), Backbone()
    contender = CONTENDERS[name](params, backbone)
    fit, test = (
        [as_tensor(arrays.images[rows]) for rows in batches(rows, BATCH)]
        for rows in (normal_rows(params, arrays), arrays.rows("test"))
    )
    before, start = anonymous(), time.process_time()
    contender.fit(fit)
    fitted = time.process_time() - start
    contender.score(test[0])  # warms up
    backbone.seconds, start = 0.0, time.process_time()
    scores = torch.cat([contender.score(batch) for batch in test])
    seconds = time.process_time() - start
    return {
        "fit": fitted,
        "score": seconds / len(scores),
        "memory": (seconds - backbone.seconds) / len(scores),
        "scores": scores.tolist(),
        "before": before,
    }


def report(method: str, results: dict[str, list[dict[str, Any]]], positive: np.ndarray, groups: np.ndarray) -> None:
    """`positive`: booleans of the test images; `groups`: their patients."""
    titles = {"lightbox": f"lightbox {method}", "anomalib": f"anomalib {METHODS[method]}"}
    scores = {name: np.array(turns[0]["scores"]) for name, turns in results.items()}
    for name, turns in results.items():
        of = {cost: statistics.median(turn[cost] for turn in turns) for cost in COSTS}
        area = float(auroc(positive, scores[name], once(len(positive)))[0])
        print(
            f"{titles[name]:18} AUROC {area:.3f}, fitting {of['fit']:.1f} s of CPU, image {1e3 * of['score']:.1f} ms "
            f"({1e3 * of['memory']:.1f} without the backbone), peak {of['peak']:.0f} MB"
        )
    if len(results) < 2:
        return
    difference = list(differences(positive, scores["lightbox"], scores["anomalib"], groups))
    low, high = percentile_interval(np.concatenate(difference[1:]), 0.95)
    print(f"  AUROC, lightbox - anomalib: {difference[0][0]:+.3f} [{low:+.3f}, {high:+.3f}]")
    for cost, title in COSTS.items():
        ratios = [b[cost] / a[cost] for a, b in zip(results["lightbox"], results["anomalib"], strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"  {title}, anomalib ÷ lightbox: median {statistics.median(ratios):.2f} ({spread})")


def differences(positive: np.ndarray, a: np.ndarray, b: np.ndarray, groups: np.ndarray) -> Iterator[np.ndarray]:
    """Of the AUROCs of two scores: on the test images, then on draws of their patients."""
    for weights in (once(len(a)), *draws(groups, 2000, seed=0)):
        yield auroc(positive, a, weights) - auroc(positive, b, weights)


if __name__ == "__main__":
    main()
