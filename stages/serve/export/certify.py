"""An export beside the model that it was made of, on real images.

Shapes: n images, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from ...shared.arrays.arrays import Arrays
from ...shared.core.progress import progress
from ...shared.core.task import PROBABILITY
from ...shared.exported.certificate import Sensitivity
from ...shared.exported.decision import Decision, Rules
from ...shared.exported.export import Answers, answers
from ...shared.exported.session import Session
from ...shared.measures.calibration import Calibration, log_softmax
from ...shared.measures.judge import Resampling, estimates
from ...shared.measures.statistics import ratio
from ...shared.model.model import Model
from ...shared.model.predict import as_tensor, batches


@torch.no_grad()
def trained(model: Model, calibration: Calibration, images: np.ndarray) -> Answers:
    """What the model itself says, on the processor: a graphics card may round to 10 bits. Calibrated as evaluate does,
    not by the graph. `maps` are left out."""
    model = model.eval().cpu()
    logits, features = [], []
    for rows in batches(np.arange(len(images)), 16):
        x = model.normalise(as_tensor(images[rows]))
        encoded = model.encode(x)
        features.append(encoded[0].numpy())
        logits.append(model.decode(encoded, (x.shape[2], x.shape[3])).numpy())
    both = np.concatenate(logits)
    probabilities = calibration.apply(log_softmax(both.astype(np.float64)))
    return Answers(both, probabilities, np.concatenate(features))


def differences(reference: Answers, session: Session, images: np.ndarray, sizes: Sequence[int]) -> Mapping[str, float]:
    """Largest absolute difference of each output, over all images in batches of each of these sizes; and of the
    `scores`, since a sharp calibration rounds all probabilities to 0 and 1. Of `maps`: of their means over the cells
    from the logits. Not a number where the export gives one."""
    largest = dict.fromkeys(["scores", *session.outputs], 0.0)
    chunks = [rows for size in sizes for rows in batches(np.arange(len(images)), size)]
    for rows in progress(chunks, desc="certify", unit="batches", leave=False):
        own = answers(session, images[rows])
        for name in ("scores", "logits", "probabilities", "features"):
            gap = np.abs(getattr(own, name).astype(np.float64) - getattr(reference, name)[rows]).max()
            largest[name] = float(np.maximum(largest[name], gap))  # max() would lose a NaN
        if own.maps is not None:
            gap = np.abs(own.maps.mean(axis=(2, 3), dtype=np.float64) - reference.logits[rows]).max()
            largest["maps"] = float(np.maximum(largest["maps"], gap))
    return largest


def spread(probabilities: np.ndarray) -> float:
    """Largest minus smallest probability of a class, n×K: of the class where that is largest."""
    return float(np.ptp(probabilities, axis=0).max())


def evenly(rows: np.ndarray, count: int) -> np.ndarray:
    """At most so many of the rows, spread over all of them."""
    if len(rows) <= count:
        return rows
    return np.asarray(rows[np.linspace(0, len(rows) - 1, count).round().astype(int)])


def sensitivity(rules: Rules, session: Session, arrays: Arrays, table: pd.DataFrame, margin: float) -> Sensitivity:
    """At the operating point, of all test images whose class is not the first. `table`: predictions.parquet."""
    test = table[(table["split"] == "test") & (table["label"].astype(str) != rules.classes[0])]
    place = pd.Series(np.arange(len(arrays.index)), arrays.index["path"])
    before = rules.decide(test[[PROBABILITY + name for name in rules.classes]].to_numpy())
    chunks = progress(batches(place[test["path"]].to_numpy(), 32), desc="sensitivity", unit="batches", leave=False)
    scores = np.concatenate([answers(session, arrays.images[rows]).scores for rows in chunks])
    after = rules.decide(scores)
    return lost(called(before), called(after), test["group"].to_numpy(), margin)


def called(decisions: Sequence[Decision]) -> np.ndarray:
    """Booleans."""
    return np.array([decision.above_threshold for decision in decisions])


def lost(before: np.ndarray, after: np.ndarray, clusters: np.ndarray, margin: float) -> Sensitivity:
    """`before`, `after`: whether each of n positive images is called, booleans.

    The interval is that of the share that was called and no longer is. What is newly called does not count, so the loss
    is never underrated. With no such image its end is above 0 all the same: the fewer patients, the higher.
    """
    gone = before & ~after
    estimated, _ = estimates(
        lambda weights: {"gone": ratio(weights.astype(np.float64) @ gone, weights.sum(axis=1))}, clusters,
        Resampling(10_000, 0.95, 0), {"gone": [np.ones(len(gone), bool)]},
    )  # fmt: skip
    high = estimated["gone"]["high"]
    loss = float(before.mean() - after.mean())
    return Sensitivity(positives=len(gone), loss=loss, high=1.0 if high is None else high, margin=margin)
