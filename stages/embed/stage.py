"""From a model to its features and what they say."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import silhouette_samples

from ..shared.arrays.arrays import at_sites, load_arrays
from ..shared.core import paths
from ..shared.core.errors import UserError
from ..shared.core.files import atomic, read_json, write_json
from ..shared.core.job import Job, Result
from ..shared.core.judging import Judging
from ..shared.core.matrix import repro
from ..shared.core.task import PROBABILITY
from ..shared.measures import MEASURES
from ..shared.measures.judge import Judgement, Resampling, flat, judge, write
from ..shared.measures.truth import NO_TRUTH
from ..shared.tasks.models import load
from . import check_data
from .features import embeddings
from .knn import Choice, answered, choose, votes
from .leaks import suspects
from .maps import choose as choose_points
from .maps import maps
from .neighbours import Neighbours, nearest
from .params import Params

REMINDERS = 3  # training images that an image is most like
NAMED = 5  # pairs in a message


def run(params: Params, job: Job) -> Result:
    model, recipe = load(paths.model_dir(job.member))
    arrays, folder = load_arrays(), paths.report_dir("embed", job.member)
    check_data(params, arrays.index)
    evaluated = paths.report_dir("evaluate", job.member)
    table, train = read_table(evaluated), read_rows(job)
    features, index = embeddings(model, arrays.images), arrays.index
    groups, use = index["group"].to_numpy(), uses(index, recipe.params["sample"])
    pairs, limit = suspects(features, groups, use, params.false_alarms)
    names = leak_table(pairs, index, use)
    check_leaks(names, params, job)
    queries = pd.Index(index["path"]).get_indexer(table["path"])
    if (queries < 0).any():
        raise UserError(f"{paths.PROCESSED}: lacks images of {evaluated}. Run `dvc repro evaluate@{job.member}`.")
    close = nearest(features[queries], groups[queries], features[train], groups[train], max(*params.k, REMINDERS))
    knn = classify(table, close, arrays.targets[train], arrays.classes, params.k, recipe.task, evaluated)
    numbers = {
        "images": len(index), "features": features.shape[1], "training_images": len(train), "distance": "cosine",
        "leaks": {"suspects": len(pairs), "bound": limit, "false_alarms": params.false_alarms},
        "silhouette": silhouette(features, index, arrays.classes),
        "knn": None if knn is None else vars(knn[0]),
    }  # fmt: skip
    points, axes = place(features, index, table, use, train, params)
    save(folder, features, index, points)
    save_table(folder / "neighbours.parquet", reminders(table, close, index["path"].iloc[train]))
    names.to_csv(folder / "leaks.csv", index=False, float_format="%.6f", lineterminator="\n")
    write_json(folder / "embed.json", numbers | axes)
    if knn is not None:
        write(folder / "knn", knn[1], knn[2])
    return Result(metrics=metrics(numbers, knn))


def read_table(folder: Path) -> pd.DataFrame:
    path = folder / "predictions.parquet"
    if not path.exists():
        raise UserError(f"{path}: missing. Run `dvc repro evaluate@{folder.name}`.")
    return pd.read_parquet(path)


def read_rows(job: Job) -> np.ndarray:
    """Of the images that this model was trained on, as train wrote them down."""
    path = paths.report_dir("train", job.member) / "rows.npz"
    if not path.exists():
        raise UserError(f"{path}: missing. Run {repro('train', job.member)}.")
    with np.load(path) as rows:
        return np.asarray(rows["train"])


def uses(index: pd.DataFrame, sample: Mapping[str, Any]) -> np.ndarray:
    """N of train, val, test, or unused: train is all that the sample may draw from, whether it did or not; images of
    sites that the sample does not take are unused, unless they test."""
    cases = [index["split"] == "test", ~at_sites(index, sample), index["fold"] == sample["fold"]]
    return np.select(cases, ["test", "unused", "val"], "train")


def leak_table(pairs: pd.DataFrame, index: pd.DataFrame, use: np.ndarray) -> pd.DataFrame:
    """leaks.csv: path, split, other, other_split, cosine."""
    row, other = pairs["row"].to_numpy(int), pairs["other"].to_numpy(int)
    path = index["path"].to_numpy()
    return pd.DataFrame(
        {"path": path[row], "split": use[row], "other": path[other], "other_split": use[other]}
    ).assign(cosine=pairs["cosine"].to_numpy(float))  # fmt: skip


def check_leaks(pairs: pd.DataFrame, params: Params, job: Job) -> None:
    """Prints what is suspected; raises UserError where that is to stop the study."""
    if pairs.empty:
        return
    examples = "; ".join(f"{p.path} ({p.split}) and {p.other} ({p.other_split})" for p in pairs[:NAMED].itertuples())
    more = f"; and {len(pairs) - NAMED} more" if len(pairs) > NAMED else ""
    message = (
        f"{job.member}: {len(pairs)} pairs of images are alike across splits, as if of one patient: {examples}{more}"
    )
    if params.on_leak == "stop":
        raise UserError(
            f"embed.on_leak: stop: {message}. Look at them. Take one of each pair out of the data, correct "
            "validate.patient, or set embed.on_leak: warn."
        )
    print(f"embed: {message}.", file=sys.stderr)


def classify(
    table: pd.DataFrame, close: Neighbours, labels: np.ndarray, classes: Sequence[str], options: Sequence[int],
    task: str, evaluated: Path,
) -> tuple[Choice, pd.DataFrame, Judgement] | None:  # fmt: skip
    """The neighbours' answers for the images of `table`, judged as evaluate judged the model's own. None where the
    training images are of one class, or where the model does not tell classes apart."""
    if len(set(labels.tolist())) < 2 or not {f"{PROBABILITY}{name}" for name in classes} <= set(table):
        return None
    choice = choose(table, close, labels, classes, options, MEASURES[task])
    voters = Neighbours(close.rows[:, : choice.k], close.cosines[:, : choice.k])
    settings = read_json(evaluated / "metrics.json")
    own = answered(table, votes(voters, labels, len(classes)), classes)
    answers = MEASURES[task].scored(own, None, NO_TRUTH, judging(settings["settings"], evaluated))
    how = Resampling(settings["bootstrap"], settings["confidence"], settings["seed"])
    return choice, answers, judge(answers, MEASURES[task], how)


def judging(settings: Mapping[str, Any], evaluated: Path) -> Judging:
    """How evaluate judged the model, from its metrics.json."""
    if "operating_point" not in settings:
        raise UserError(f"{evaluated}: from an older version. Run `dvc repro -f evaluate@{evaluated.name}`.")
    return Judging.model_validate({name: settings[name] for name in Judging.model_fields})


def silhouette(features: np.ndarray, index: pd.DataFrame, classes: Sequence[str]) -> dict[str, Any] | None:
    """Of the test images by cosine distance, the mean over all and over each class: 1 where classes lie apart, 0 where
    they overlap (Rousseeuw 1987). None with fewer than two classes, or as many as images."""
    test = np.flatnonzero(index["split"] == "test")
    labels = index["label"].astype(str).to_numpy()[test]
    if not 2 <= len(set(labels)) < len(labels):
        return None
    values = silhouette_samples(features[test], labels, metric="cosine")
    per_class = {name: float(values[labels == name].mean()) for name in classes if (labels == name).any()}
    return {"value": float(values.mean()), "per_class": per_class}


def place(
    features: np.ndarray, index: pd.DataFrame, table: pd.DataFrame, use: np.ndarray, train: np.ndarray, params: Params
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """points.parquet: of the images on the maps, path, use (train, val, test, or unused by this sample), coordinates,
    and what the model predicted, where it predicts the classes of the data. And numbers about the maps."""
    rows = choose_points(use, params.points, params.seed)
    perplexity = params.perplexity_of(len(rows))
    drawn = maps(features[rows], perplexity, params.iterations, params.seed)
    trained = np.isin(np.arange(len(index)), train)
    judged = index["path"].isin(table["path"]).to_numpy()
    own_use = np.where((use == "train") & ~trained | (use == "val") & ~judged, "unused", use)
    points = pd.DataFrame({"path": index["path"].to_numpy()[rows], "use": own_use[rows]})
    for name, axes in (("tsne", drawn.tsne), ("pca", drawn.pca)):
        points[[f"{name}_x", f"{name}_y"]] = axes
    if "predicted" in table and set(table["predicted"].astype(str)) <= set(index["label"].cat.categories):
        predicted = table.set_index("path")["predicted"].astype(str)
        points["predicted"] = points["path"].map(predicted)
    about = {"perplexity": perplexity, "divergence": drawn.divergence, "explained": list(drawn.explained)}
    return points, {"maps": {"points": len(points), **about}}


def reminders(table: pd.DataFrame, close: Neighbours, candidates: pd.Series) -> pd.DataFrame:
    """neighbours.parquet: path, rank (from 1), neighbour, cosine; of each validation and test image."""
    count = min(REMINDERS, close.rows.shape[1])
    parts = {
        "path": np.repeat(table["path"].to_numpy(), count),
        "rank": np.tile(np.arange(1, count + 1), len(table)),
        "neighbour": candidates.to_numpy()[close.rows[:, :count]].ravel(),
        "cosine": close.cosines[:, :count].ravel(),
    }
    rows = pd.DataFrame(parts)
    return rows[np.isfinite(rows["cosine"])]


def save(folder: Path, features: np.ndarray, index: pd.DataFrame, points: pd.DataFrame) -> None:
    """embeddings.npy: float16 N×F, a row per row of index.parquet, which has path, label, patient, group, split."""
    with atomic(folder / "embeddings.npy") as partial, partial.open("wb") as file:
        np.save(file, features.astype(np.float16))
    save_table(folder / "index.parquet", index[["path", "label", "patient", "group", "split"]])
    save_table(folder / "points.parquet", points)


def save_table(path: Path, table: pd.DataFrame) -> None:
    with atomic(path) as partial:
        table.to_parquet(partial, index=False)


def metrics(numbers: dict[str, Any], knn: tuple[Choice, pd.DataFrame, Judgement] | None) -> dict[str, float]:
    """For MLflow: silhouette, leaks, and what the neighbours reach: knn/k, knn/val/auroc, knn/test/auroc, …"""
    values: dict[str, float] = {"leaks": numbers["leaks"]["suspects"]}
    if numbers["silhouette"]:
        values["silhouette"] = numbers["silhouette"]["value"]
    if knn is not None:
        values |= {"knn/k": knn[0].k} | {f"knn/{name}": value for name, value in flat(knn[2].numbers).items()}
    return values
