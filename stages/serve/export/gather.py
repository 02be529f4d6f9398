"""What evaluate and train left about a model -> decision.json, training.npz, held_out.npz.

Shapes: N images that trained or validated, M described.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...shared.arrays.arrays import Arrays
from ...shared.core.errors import UserError, unknown
from ...shared.core.files import read_json
from ...shared.core.matrix import repro
from ...shared.core.paths import MANIFEST
from ...shared.core.progress import progress
from ...shared.exported import decision
from ...shared.exported.decision import Estimate, Rules
from ...shared.exported.export import answers
from ...shared.exported.heat_maps import Checks
from ...shared.exported.reading import Reading
from ...shared.exported.session import Session
from ...shared.exported.training import FACTS, Training
from ...shared.measures import MEASURES
from ...shared.measures.calibration import Calibration
from ...shared.measures.classification import Answers
from ...shared.measures.statistics import ratio
from ...shared.model.predict import batches

EVALUATIONS, METRICS = Path("reports/evaluate"), "metrics.json"
GRID = np.arange(101) / 100
"""Thresholds of a curve."""


def evaluation(key: str) -> tuple[Mapping[str, Any], pd.DataFrame]:
    """metrics.json and predictions.parquet of a classifier.

    Raises:
        UserError: evaluate has not run, or an earlier version of it.
    """
    folder = EVALUATIONS / key
    try:
        metrics: Mapping[str, Any] = read_json(folder / METRICS)
        table = pd.read_parquet(folder / "predictions.parquet")
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: missing. Run {repro('evaluate', key)}.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: damaged ({error}). Run {repro('evaluate', key, force=True)}.") from None
    needed = ("operating_point", "calibration", "conformal", "abstention", "n", "test", "confidence")
    if missing := [name for name in needed if name not in metrics]:
        raise UserError(
            f"{folder / METRICS}: lacks {', '.join(missing)}; an earlier version wrote it. "
            f"Run {repro('evaluate', key, force=True)}."
        )
    return metrics, table


def calibration(metrics: Mapping[str, Any]) -> Calibration:
    own = metrics["calibration"]
    return Calibration(own["method"], own["parameters"], own["images"], own["reason"])


def rules(metrics: Mapping[str, Any], table: pd.DataFrame, metric: str, reading: Reading, heat_maps: Checks) -> Rules:
    """`metric`: the one that decides. Raises UserError where it is none of classification."""
    measures, answers = MEASURES["classification"].metrics, Answers(table)
    if metric not in measures:
        raise unknown("params.yaml: compare.sort_by", metric, measures)
    test = table[table["split"] == "test"]
    point, conformal, abstention = (metrics[name] for name in ("operating_point", "conformal", "abstention"))
    used = conformal[conformal["used"]]
    named = point["per_class"] if "per_class" in point else {point["class"]: point}
    return Rules(
        classes=answers.classes,
        points={name: _point(point["rule"], own, metrics) for name, own in named.items()},
        calibration=decision.Calibration(
            method=metrics["calibration"]["method"], parameters=metrics["calibration"]["parameters"],
            images=metrics["calibration"]["images"], ece=Estimate(**metrics["calibration"]["after"]["ece"]),
        ),
        conformal=decision.Conformal(
            score=conformal["score"], coverage=conformal["promised"], limits=used["limits"],
            measured=Estimate(**used["coverage"]),
        ),
        abstention=decision.Abstention(
            share=abstention["share"], limit=abstention["limit"], left=Estimate(**abstention["left"])
        ),
        tested_on=decision.TestedOn(
            patients=metrics["n"]["test"]["patients"], images=metrics["n"]["test"]["images"],
            positives=int((Answers(test).truth > 0).sum()), metric=metric, label=measures[metric].label,
            estimate=Estimate(**metrics["test"][metric]),
            metrics={name: Estimate(**own) for name, own in metrics["test"].items()}, confidence=metrics["confidence"],
        ),
        curves={
            "validation": curves(Answers(table[table["split"] == "val"])),
            "test": curves(Answers(test)),
        },
        reading=reading,
        heat_maps=heat_maps,
    )  # fmt: skip


def _point(rule: str, own: Mapping[str, Any], metrics: Mapping[str, Any]) -> decision.Point:
    threshold, calibrated = own["threshold"], None
    if "per_class" not in metrics["operating_point"]:
        with np.errstate(divide="ignore"):  # a threshold may be 0 or 1
            both = np.log([[1 - threshold, threshold]])
        calibrated = float(calibration(metrics).apply(np.maximum(both, -700))[0, 1])
    return decision.Point(
        threshold=threshold, calibrated=calibrated, rule=rule, fallback=own["fallback"], prevalence=own["prevalence"],
        validation=own["validation"], test={name: Estimate(**each) for name, each in own["test"].items()},
    )  # fmt: skip


def curves(answers: Answers) -> dict[str, decision.Curve]:
    """Of each class that has an operating point."""
    drawn = {}
    for k in answers.positives:
        truth, score = answers.truth == k, answers.calibrated[:, k]
        called = score[:, None] > GRID
        rates = ratio((called & truth[:, None]).sum(axis=0), np.full(len(GRID), truth.sum()))
        spared = ratio((~called & ~truth[:, None]).sum(axis=0), np.full(len(GRID), (~truth).sum()))
        drawn[answers.classes[k]] = decision.Curve(
            positives=int(truth.sum()), negatives=int((~truth).sum()), threshold=GRID.tolist(),
            sensitivity=np.nan_to_num(rates).tolist(), specificity=np.nan_to_num(spared).tolist(),
        )  # fmt: skip
    return drawn


def training_rows(key: str) -> tuple[np.ndarray, np.ndarray]:
    """Of the arrays: those that trained, and those that validated."""
    path = Path("reports/train") / key / "rows.npz"
    try:
        with np.load(path) as rows:
            return rows["train"], rows["validation"]
    except FileNotFoundError:
        raise UserError(f"{path}: missing. Run {repro('train', key)}.") from None


def training(session: Session, arrays: Arrays, train: np.ndarray, validation: np.ndarray, most: int) -> Training:
    """`train`, `validation`: rows of the arrays. `most`: training images to describe."""
    described = some(len(train), most)
    return describe(session, arrays, {"train": train, "val": validation}, described, "features of training images")


def held_out(session: Session, arrays: Arrays, validation: np.ndarray, most: int) -> Training:
    """The images that no weight learned from, validation and test: what new images are compared with. A model is surer
    of those that it learned from, and that would look like drift."""
    rows = {"val": validation, "test": arrays.rows("test")}
    described = some(sum(map(len, rows.values())), most)
    return describe(session, arrays, rows, described, "features of held-out images")


def some(images: int, most: int) -> np.ndarray:
    return np.sort(np.random.default_rng(0).permutation(images)[:most])


def describe(
    session: Session, arrays: Arrays, splits: Mapping[str, np.ndarray], described: np.ndarray, desc: str
) -> Training:
    """`splits`: rows of the arrays. `described`: those whose features are kept, by their place in all of these.

    Raises:
        UserError: the manifest is missing, or of other images.
    """
    try:
        manifest = pd.read_parquet(MANIFEST, columns=["path", "sha256", *FACTS]).set_index("path")
    except FileNotFoundError:
        raise UserError(f"{MANIFEST}: missing. Run `dvc repro validate`.") from None
    except (OSError, ValueError) as error:
        raise UserError(
            f"{MANIFEST}: damaged, or of an earlier version ({error}). Run `dvc repro -f validate`."
        ) from None
    rows = np.concatenate([*splits.values()])
    index = arrays.index.iloc[rows]
    if absent := int((~index["path"].isin(manifest.index)).sum()):
        raise UserError(f"{MANIFEST}: lacks {absent} of {len(rows)} images of the arrays. Run `dvc repro preprocess`.")
    facts = manifest.loc[index["path"]]
    features, probabilities = [], []
    for part in progress(batches(rows[described], 32), desc=desc, unit="batches", leave=False):
        own = answers(session, arrays.images[part])
        features.append(own.features.astype(np.float16))
        probabilities.append(own.probabilities)
    return Training(
        patients=index["patient"].to_numpy(str),
        sha256=facts["sha256"].to_numpy(str),
        splits=np.repeat([*splits], [len(own) for own in splits.values()]),
        labels=index["label"].astype(str).to_numpy(str),
        described=described,
        features=np.concatenate(features),
        probabilities=np.concatenate(probabilities),
        facts={name: facts[name].to_numpy(np.float64, na_value=np.nan)[described] for name in FACTS},
        rows=rows[described],
    )
