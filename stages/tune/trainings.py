"""One training: these settings, on this fold, with this seed. What it gave is remembered, so that no search trains the
same twice, however often it is interrupted."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import study
from ..shared.core.errors import Untrainable, UserError
from ..shared.core.job import Job
from ..shared.core.paths import Key
from .space import Values, with_values

Each = Callable[[int, float], None]  # called with every epoch, from 0, and the value so far


class Unusable(Exception):
    """Why these settings train nothing. Others may."""


@dataclass(frozen=True)
class Curve:
    """A training that came to its end. monitored: what decides which epoch's weights are kept; metric: what the search
    is for; both by epoch. train, validation: images. seconds: what it took."""

    monitored: Sequence[float]
    metric: Sequence[float]
    mode: str
    """min | max: which way the monitored value is better."""
    train: int
    validation: int
    seconds: float

    def so_far(self, epoch: int) -> float:
        """The metric at the epoch whose weights would be kept, had the training ended after this one."""
        values = self.monitored[: epoch + 1]
        best = min(values) if self.mode == "min" else max(values)
        return self.metric[values.index(best)]

    @property
    def value(self) -> float:
        return self.so_far(len(self.metric) - 1)


class Trainings:
    """Of the settings of one member of the matrix. raw: params.yaml. memory: a file with a line for each training."""

    def __init__(self, raw: Mapping[str, Any], key: Key, metric: str, memory: Path) -> None:
        self.raw, self.key, self.metric, self.memory = raw, key, metric, memory
        self.sample = study.entry("samples", key.sample, raw)
        self.folds = study.resolve("preprocess", raw).split.folds
        self.curves = read(memory)

    def fold(self, number: int) -> int:
        """That of the target's sample, then the next ones."""
        return int((self.sample.fold + number) % self.folds)

    def params(self, values: Values, number: int, repeat: int = 0) -> Any:
        """Of a training. Raises Unusable when these values contradict one another."""
        place = {"fold": self.fold(number), "seed": self.sample.seed + repeat}
        samples = {**self.raw["samples"], self.key.sample: {**self.raw["samples"][self.key.sample], **place}}
        try:
            return study.resolve("train", {**with_values(self.raw, self.key, values), "samples": samples}, self.key)
        except UserError as error:
            raise Unusable(str(error)) from None

    def __call__(self, values: Values, number: int, repeat: int = 0, each: Each = lambda epoch, value: None) -> Curve:
        """number: of the fold, from 0. repeat: added to the sample's seed. What `each` raises ends the training, which
        is then not remembered.

        Raises:
            Unusable: these values contradict one another, or train nothing.
        """
        params = self.params(values, number, repeat)
        digest = hashlib.sha256(params.model_dump_json().encode()).hexdigest()[:16]
        curve = self.curves.get(digest)
        if curve is None:
            curve = self.train(params, each)
            if not math.isfinite(curve.value):
                raise Unusable(f"{self.metric} is {curve.value} on fold {number + 1}")
            self.curves[digest] = curve
            append(self.memory, digest, curve)
        else:
            for epoch in range(len(curve.metric)):
                each(epoch, curve.so_far(epoch))
        return curve

    def train(self, params: Any, each: Each) -> Curve:
        since, rule = time.monotonic(), params.early_stopping
        monitored: list[float] = []
        metric: list[float] = []

        def report(metrics: Mapping[str, float], epoch: int) -> None:
            monitored.append(metrics[logged(rule.monitor)])
            metric.append(metrics[logged(self.metric)])
            each(epoch, Curve(monitored, metric, rule.mode, 0, 0, 0.0).so_far(epoch))

        try:
            curve = study.STAGES["train"].curve(params, Job(self.key, report, quiet=True))
        except Untrainable as error:
            raise Unusable(error.reason) from None
        seconds = round(time.monotonic() - since, 2)
        return Curve(monitored, metric, rule.mode, curve.train, curve.validation, seconds)


def logged(metric: str) -> str:
    """As a training reports it: val_auroc -> val/auroc."""
    return metric.replace("val_", "val/", 1)


def read(memory: Path) -> dict[str, Curve]:
    """A last line that was cut short, as by a power cut, is taken out of the file."""
    if not memory.exists():
        return {}
    whole, newline, cut = memory.read_text(encoding="utf-8").rpartition("\n")
    if cut:
        memory.write_text(whole + newline, encoding="utf-8")
    lines = (json.loads(line) for line in whole.splitlines())
    return {line.pop("training"): Curve(**line) for line in lines}


def append(memory: Path, digest: str, curve: Curve) -> None:
    with memory.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"training": digest, **asdict(curve)}) + "\n")
