"""What evidence costs beside the plain way of computing it.

    python benchmarks/evidence.py                                 all but the page
    python benchmarks/evidence.py judging --images 10000 --draws 2000
    python benchmarks/evidence.py page --models 40                run where a study is finished

judging    all metrics of 10 models on all bootstrap draws, beside scikit-learn in a loop over the draws (a few of them,
           counted up)
occlusion  many windows of many images in one pass, beside one window at a time
dropout    the passes of MC dropout side by side in a batch, beside one pass after the other
page       the report of so many models, which are copies of those that are there

Ratios are of CPU time of this process, both sides on all its cores, in turns; the median of the turns.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from stages.shared.core.paths import Key

TURNS = 3
MODELS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", nargs="*", default=["judging", "occlusion", "dropout"], help=", ".join(PARTS))
    parser.add_argument("--images", type=int, default=10_000, help="test images of a model")
    parser.add_argument("--draws", type=int, default=2_000, help="of the bootstrap")
    parser.add_argument("--models", type=int, default=40, help="on the page")
    options = parser.parse_args()
    for name in options.what:
        if name not in PARTS:
            parser.error(f"{name}: not a part. Valid: {', '.join(PARTS)}.")
        PARTS[name](options)


def cpu(work: Callable[[], object]) -> float:
    """Seconds of CPU of this process and its children."""
    before = os.times()
    work()
    after = os.times()
    return sum(after[:4]) - sum(before[:4])


def in_turns(plain: Callable[[], object], ours: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of CPU of each; the first turn warms up and does not count."""
    pairs = [(cpu(plain), cpu(ours)) for _ in range(TURNS + 1)][1:]
    return statistics.median(first for first, _ in pairs), statistics.median(second for _, second in pairs)


def told(name: str, plain: float, ours: float, about: str) -> None:
    print(f"{name:10} plain {plain:8.2f} s   ours {ours:8.2f} s   ratio {plain / ours:6.1f}   {about}", flush=True)


# Judging


def judging(options: argparse.Namespace) -> None:
    from stages.shared.measures import MEASURES
    from stages.shared.measures.intervals import draws
    from stages.shared.measures.judge import Resampling, judge

    table = predictions(options.images)
    how = Resampling(options.draws, 0.95, 0)
    groups = table.loc[table["split"] == "test", "group"].to_numpy()
    few = next(draws(groups, 5, 0))
    ours = statistics.median(cpu(lambda: judge(table, MEASURES["classification"], how)) for _ in range(TURNS))
    plain = cpu(lambda: [by_scikit_learn(table[table["split"] == "test"], weights) for weights in few])
    plain *= options.draws / len(few)
    told(
        "judging", plain * MODELS, ours * MODELS,
        f"{MODELS} models, {options.images:,} images, {options.draws:,} draws, all metrics and those of each class",
    )  # fmt: skip


def predictions(images: int) -> pd.DataFrame:
    """As evaluate leaves them: two images of a patient, a tenth as many validation images."""
    rng = np.random.default_rng(0)
    n = images + images // 10
    ill = rng.random(n) < 0.3
    p = 1 / (1 + np.exp(-(rng.normal(size=n) + 2 * ill - 1)))
    names = ["normal", "ill"]
    return pd.DataFrame(
        {
            "path": [f"{i:06d}.png" for i in range(n)], "label": pd.Categorical.from_codes(ill.astype(int), names),
            "patient": np.arange(n) // 2, "group": np.arange(n) // 2,
            "split": np.where(np.arange(n) < images, "test", "val"),
            "predicted": pd.Categorical.from_codes((p > 0.5).astype(int), names), "threshold": 0.5,
            "prob_normal": 1 - p, "prob_ill": p, "logit_normal": np.log1p(-p), "logit_ill": np.log(p),
        }
    )  # fmt: skip


def by_scikit_learn(table: pd.DataFrame, weights: np.ndarray) -> None:
    """The metrics of one draw, as a careful script computes them."""
    from sklearn import metrics

    truth, predicted = (np.asarray(table[name].cat.codes) for name in ("label", "predicted"))
    score = table["prob_ill"].to_numpy()
    with_weights = {"sample_weight": weights}
    metrics.roc_auc_score(truth, score, **with_weights)
    metrics.average_precision_score(truth, score, **with_weights)
    metrics.roc_curve(truth, score, **with_weights)  # sensitivity at a specificity, and the reverse
    metrics.balanced_accuracy_score(truth, predicted, **with_weights)
    metrics.accuracy_score(truth, predicted, **with_weights)
    metrics.precision_recall_fscore_support(truth, predicted, **with_weights)
    metrics.matthews_corrcoef(truth, predicted, **with_weights)
    metrics.cohen_kappa_score(truth, predicted, **with_weights)
    metrics.brier_score_loss(truth, score, **with_weights)
    metrics.log_loss(truth, score, **with_weights)


# Heat maps and dropout


def network(name: str) -> object:
    from stages.shared.model.recipe import Architecture
    from stages.shared.tasks.models import create

    source = "lightbox" if name == "small_cnn" else "timm"
    return create("classification", Architecture(source=source, name=name, dropout=0.5), 2).eval()


def noise(count: int, size: int, channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, channels), dtype=np.uint8)


def occlusion(_: argparse.Namespace) -> None:
    import torch

    from stages.explain.methods import METHODS
    from stages.explain.methods.method import grey, heat_maps, log_probability
    from stages.explain.methods.occlusion import windows
    from stages.shared.model.predict import as_tensor

    for name, count, size in (("small_cnn", 8, 64), ("tf_efficientnet_lite0", 2, 128)):
        model, images = network(name), noise(count, size, 1)
        targets = np.zeros(count, np.int64)

        @torch.no_grad()
        def one_at_a_time(model=model, images=images, size=size) -> None:
            hidden = windows(size, size)
            for image in as_tensor(images).float():
                for window in hidden:
                    occluded = torch.where(window, grey(image[None])[0], image)
                    log_probability(model, occluded[None], torch.zeros(1, dtype=torch.int64))

        plain, ours = in_turns(
            one_at_a_time, lambda m=model, i=images, t=targets: heat_maps(METHODS["occlusion"], m, i, t)
        )
        told("occlusion", plain, ours, f"{name}, {count} images of {size} px, {len(windows(size, size))} windows each")


def dropout(_: argparse.Namespace) -> None:
    import torch

    from stages.evaluate.evidence.passes import dropping, with_dropout
    from stages.shared.model.predict import as_tensor

    passes = 20
    for name, count, size in (("small_cnn", 128, 64), ("tf_efficientnet_lite0", 32, 128)):
        model, images = network(name), noise(count, size, 1)

        @torch.inference_mode()
        def one_after_the_other(model=model, images=images) -> None:
            with dropping(model, 0):
                for _ in range(passes):
                    for start in range(0, len(images), 64):
                        model(as_tensor(images[start : start + 64])).softmax(dim=1)

        plain, ours = in_turns(
            one_after_the_other, lambda m=model, i=images: with_dropout(m, i, np.arange(len(i)), passes, 0)
        )
        told("dropout", plain, ours, f"{name}, {count} images of {size} px, {passes} passes")


# The page


def page(options: argparse.Namespace) -> None:
    """Of a study whose models are copies of those of params.yaml, as repeats with other seeds."""
    from stages.compare.stage import run
    from stages.shared.core import settings
    from stages.shared.core.job import Job
    from stages.study import resolve

    here, params = Path.cwd(), resolve("compare", settings.read())
    sources = {(key.backbone, key.strategy): key for key in reversed(params.matrix.combinations())}
    repeats = -(-options.models // len(sources))
    samples = [f"copy_{i}" for i in range(repeats)]
    with tempfile.TemporaryDirectory() as folder:
        for name in ("data/processed", "reports", "models/pretrained"):
            shutil.copytree(here / name, Path(folder) / name)
        os.chdir(folder)
        try:
            for key in sources.values():
                for seed, sample in enumerate(samples):
                    copy(key, replace(key, sample=sample), seed)
            matrix = params.matrix.model_copy(update={"sample": samples})
            own = params.model_copy(update={"matrix": matrix})
            with contextlib.redirect_stdout(io.StringIO()):
                seconds = cpu(lambda: run(own, Job()))
            size = Path("reports/compare/index.html").stat().st_size / 1e6
        finally:
            os.chdir(here)
    print(f"page       {len(sources) * repeats} models: {seconds:.1f} s of CPU, index.html {size:.1f} MB")


def copy(source: Key, target: Key, seed: int) -> None:
    for stage in ("train", "evaluate", "embed", "explain"):
        shutil.copytree(Path("reports") / stage / str(source), Path("reports") / stage / str(target))
    path = Path("reports/train") / str(target) / "summary.json"
    summary = json.loads(path.read_text())
    path.write_text(json.dumps(summary | {"sample": {**summary["sample"], "seed": seed}}))


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "judging": judging,
    "occlusion": occlusion,
    "dropout": dropout,
    "page": page,
}


if __name__ == "__main__":
    main()
