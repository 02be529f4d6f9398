"""The export of one model: read, written beside its place, certified, moved there whole."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from filelock import FileLock

from ...shared.arrays.arrays import Arrays, load_arrays
from ...shared.core.errors import UserError, unknown
from ...shared.core.files import sha256
from ...shared.core.matrix import repro
from ...shared.core.progress import clock
from ...shared.core.task import PROBABILITY
from ...shared.exported.certificate import (
    BATCHES,
    LEAST_SPREAD,
    ONNX,
    TOLERANCE,
    Certificate,
    Precision,
    Preset,
    Runtime,
    constant,
)
from ...shared.exported.decision import Rules
from ...shared.exported.export import ROOT, Answers
from ...shared.exported.heat_maps import checks_of
from ...shared.exported.session import Session, open_session
from ...shared.exported.training import HELD_OUT
from ...shared.measures.calibration import Calibration
from ...shared.model.model import Model
from ...shared.model.recipe import Recipe
from ...shared.tasks.models import load
from ..params import Export, Params
from . import certify, gather, graph, openvino
from .convert import convert

OF_WEIGHTS = 0.02
"""How far evaluate's probabilities may be from the model's: a graphics card may compute with 10 bits. Those of other
weights are further away."""


@dataclass(frozen=True)
class Source:
    """A trained model, and what is known of it. `table`: predictions.parquet. `test`: rows of the arrays.
    `evaluation_sha256`: of metrics.json."""

    model: Model
    recipe: Recipe
    arrays: Arrays
    metrics: Mapping[str, Any]
    table: pd.DataFrame
    calibration: Calibration
    test: np.ndarray
    evaluation_sha256: str

    @property
    def images(self) -> np.ndarray:
        """Those that certify, uint8 n×H×W×C."""
        return np.asarray(self.arrays.images[self.test])


def export(key: str, params: Params, metric: str, runtime: Runtime = "onnx", precision: Precision = "float32") -> Path:
    """models/onnx/<key>. `metric`: the one that decides. What is there stays until the new one is certified.

    Raises:
        UserError: the model, its evaluation or its images are missing or do not belong together; the network cannot be
            written; the export does not answer as the model does.
    """
    since = time.monotonic()
    source = read(key, params)
    reference = certify.trained(source.model, source.calibration, source.images)
    check_evaluation(source, reference)
    if (spread := certify.spread(reference.probabilities)) < LEAST_SPREAD:
        raise UserError(f"models/{key}: not exported: {constant(len(source.test), spread)}.")
    rules = gather.rules(
        source.metrics, source.table, metric, params.reading, checks_of(key, source.recipe.weights_sha256)
    )
    train, validation = gather.training_rows(key)
    with whole(ROOT / key) as folder:
        say(f"writing {source.recipe.architecture.name} as one ONNX file, which takes 10 to 60 seconds")
        write_network(source, folder / ONNX)
        source.recipe.model_copy(update={"onnx_sha256": sha256(folder / ONNX)}).write(folder)
        rules.write(folder)
        presets: Mapping[Preset, float] = {}
        if precision == "int8":
            say("writing it for OpenVINO in 8-bit integers, twice, to take what loses less")
            presets = write_int8(source, folder, train, validation, params.export)
        elif runtime == "openvino":
            say("writing it for OpenVINO")
            openvino.write(folder)
        session = open_session(folder, runtime)
        say(f"comparing {len(source.test)} test images with torch, in batches of {', '.join(map(str, BATCHES))}")
        certificate = certified(source, reference, session, folder, rules, params.export, (runtime, precision))
        certificate = certificate.model_copy(update={"presets": presets})
        if not certificate.passed:
            raise UserError(f"models/{key}: not exported: {certificate.reason()}.")
        gather.training(session, source.arrays, train, validation, params.export.reference).write(folder)
        gather.held_out(session, source.arrays, validation, params.export.reference).write(folder, HELD_OUT)
        files = {path.name: sha256(path) for path in sorted(folder.iterdir())}
        certificate.model_copy(update={"files": files}).write(folder)
    say(
        f"{ROOT / key} is certified: no probability differs by more than {certificate.largest_difference:.0e}; "
        f"done in {clock(time.monotonic() - since)}"
    )
    return ROOT / key


def read(key: str, params: Params) -> Source:
    folder = Path("models") / key
    if not (folder / "recipe.json").exists():
        keys = [path.parent.name for path in Path("models").glob("*/recipe.json")]
        raise (
            unknown("export: models", key, keys) if keys else UserError("models: none is trained yet. Run `make run`.")
        )
    if (task := Recipe.read(folder).task) != "classification":
        raise UserError(
            f"models/{key}: its task is {task}, and export, serve and app know only classification. `mlflow models "
            "serve` answers for this model, with torch (docs/mlflow.md)."
        )
    model, recipe = load(folder)
    metrics, table = gather.evaluation(key)
    arrays = load_arrays()
    if recipe.data != arrays.fingerprint:
        raise UserError(
            f"models/{key}: was trained on other arrays than those in data/processed, so nothing can be compared. "
            f"Run {repro('evaluate', key)}."
        )
    test = certify.evenly(arrays.rows("test"), params.export.certified)
    digest = sha256(gather.EVALUATIONS / key / gather.METRICS)
    return Source(model, recipe, arrays, metrics, table, gather.calibration(metrics), test, digest)


def check_evaluation(source: Source, reference: Answers) -> None:
    """Raises UserError when evaluate judged other weights, then its thresholds and calibration are of another model."""
    judged = source.table.set_index("path")[[PROBABILITY + name for name in source.recipe.classes]]
    paths = source.arrays.index["path"].iloc[source.test]
    known = judged.index.is_unique and paths.isin(judged.index).all()
    if not known or np.abs(judged.loc[paths].to_numpy() - reference.scores).max() > OF_WEIGHTS:
        raise UserError(
            f"reports/evaluate/{source.recipe.key}: is about other weights than those in models/{source.recipe.key}. "
            f"Run {repro('evaluate', source.recipe.key, force=True)}."
        )


def write_network(source: Source, path: Path) -> None:
    two = np.ascontiguousarray(source.images[:2])
    pooled = graph.pooled(source.model, two)
    served = graph.Served(source.model, source.calibration, len(source.recipe.classes), pooled)
    convert(served, torch.from_numpy(two), served.outputs, path, source.recipe.architecture.name)


def write_int8(
    source: Source, folder: Path, train: np.ndarray, validation: np.ndarray, settings: Export
) -> Mapping[Preset, float]:
    """The preset is chosen on validation images; test images judge it afterwards."""
    images = np.asarray(source.arrays.images[certify.evenly(validation, settings.certified)])
    reference = certify.trained(source.model, source.calibration, images)

    def difference(session: Session) -> float:
        own = certify.differences(reference, session, images, BATCHES[:1])
        return max(own["scores"], own["probabilities"])

    ranges = np.asarray(source.arrays.images[certify.evenly(train, settings.int8_images)])
    return openvino.write_int8(folder, ranges, is_transformer(source.model), difference)


def certified(
    source: Source, reference: Answers, session: Session, folder: Path, rules: Rules, settings: Export,
    kind: tuple[Runtime, Precision],
) -> Certificate:  # fmt: skip
    """Without the digests of the files that are still to come."""
    runtime, precision = kind
    differences = certify.differences(reference, session, source.images, BATCHES)
    if not all(np.isfinite(value) for value in differences.values()):
        raise UserError(f"models/{source.recipe.key}: not exported: {runtime} gives numbers that are not finite.")
    tolerance, loss = TOLERANCE, None
    if precision == "int8":
        tolerance = settings.int8_tolerance
        loss = certify.sensitivity(rules, session, source.arrays, source.table, settings.int8_margin)
    return Certificate(
        key=source.recipe.key, runtime=runtime, precision=precision, files={},
        weights_sha256=source.recipe.weights_sha256, evaluation_sha256=source.evaluation_sha256,
        onnx_sha256=sha256(folder / ONNX), images=len(source.test), batches=BATCHES, differences=dict(differences),
        largest_difference=max(differences["probabilities"], differences["scores"]),
        probabilities_spread=certify.spread(reference.probabilities), tolerance=tolerance, sensitivity=loss,
        versions=versions(runtime, precision), made_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def is_transformer(model: Model) -> bool:
    """Whether it has attention between tokens: some ranges are then chosen in another way."""
    return any(layer.layout == "tokens" for layer in model.backbone.map_layers.values())


def versions(runtime: Runtime, precision: Precision) -> dict[str, str]:
    names = ["torch", "onnx", "onnxruntime"] if runtime == "onnx" else ["torch", "onnx", "openvino"]
    return {name: version(name) for name in [*names, *(["nncf"] if precision == "int8" else [])]}


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """An empty folder, which takes the place of `folder` on success and goes on any failure. One process at a time: a
    server and the page may be started together, and both may find no export."""
    partial, old = (folder.with_name(f".{folder.name}.{state}") for state in ("partial", "old"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        clear(folder, partial, old)  # of an export that was killed
        partial.mkdir()
        try:
            yield partial
            if folder.exists():
                folder.rename(old)  # at once, for a server that reads it
            partial.rename(folder)
        finally:
            clear(folder, partial, old)


def clear(folder: Path, partial: Path, old: Path) -> None:
    """What a replacement leaves: one folder. The old one comes back where the new one did not get to its place."""
    if old.exists() and not folder.exists():
        old.rename(folder)
    for rest in (partial, old):
        shutil.rmtree(rest, ignore_errors=True)


def say(message: str) -> None:
    print(f"export: {message}", file=sys.stderr)
