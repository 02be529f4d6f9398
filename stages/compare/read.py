"""The files that other stages left, as tables. Only keys that params.yaml lists are looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..shared.core import paths
from ..shared.core.errors import UserError
from ..shared.core.files import read_json
from ..shared.core.matrix import repro
from ..shared.core.paths import Key
from ..shared.measures.measure import TaskMeasures

BEFORE_AFTER = "before_after.png"  # of preprocess
SECTIONS = ["subgroups", "failures"]  # of metrics.json, beside the metrics; a task has more
KNN = "+knn"  # behind the name of a strategy: neighbours vote in the features of its model
Kind = Literal["model", "neighbours"]
"""What answers: a model of the matrix, or neighbours that vote in its features. What the latter say of a training is
that model's."""


def read_plan(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, usecols=["epoch", "block", "lr"], dtype={"block": str})


FILES: dict[str, dict[str, Callable[[Path], Any]]] = {  # that each stage leaves of a model
    "train": {"history.csv": pd.read_csv, "plan.csv": read_plan, "summary.json": read_json},
    "evaluate": {
        "metrics.json": read_json, "predictions.parquet": pd.read_parquet, "draws.parquet": pd.read_parquet,
        "cost.json": read_json,
    },
    "embed": {
        "embed.json": read_json, "points.parquet": pd.read_parquet, "neighbours.parquet": pd.read_parquet,
        "leaks.csv": pd.read_csv,
    },
    "explain": {"cases.json": read_json, "methods.json": read_json},
}  # fmt: skip


@dataclass(frozen=True)
class Member:
    """What one model left behind."""

    key: Key
    history: pd.DataFrame
    plan: pd.DataFrame  # columns epoch (from 0), block, lr (NaN: frozen)
    summary: Mapping[str, Any]
    metrics: Mapping[str, Any]
    cost: Mapping[str, Any]  # of a prediction, on the machine that evaluated; empty for neighbours that vote
    draws: pd.DataFrame  # one row per bootstrap draw of the test split's clusters, one column per metric
    cases: Sequence[Mapping[str, Any]]
    methods: Mapping[str, Any]  # the checks of its heat maps
    embed: Mapping[str, Any]  # numbers about the features
    points: pd.DataFrame  # images on the maps of the features
    neighbours: pd.DataFrame  # training images most like each validation and test image
    leaks: pd.DataFrame  # pairs of images that are too much alike across splits
    start: Mapping[str, Any]  # what is known of the pretrained weights: the JSON file beside them
    test: pd.DataFrame  # predictions, sorted by path: row i of two members is the same image
    validation: pd.DataFrame  # predictions of the validation images
    answers: Any  # `test` as arrays; the task decides which
    fingerprint: str
    kind: Kind = "model"

    @property
    def made_by(self) -> str:
        """The stage that judged it."""
        return "evaluate" if self.kind == "model" else "embed"

    @property
    def remedy(self) -> str:
        """The command that makes its predictions again."""
        return repro(self.made_by, self.model, force=True)

    @property
    def model(self) -> Key:
        """The model itself, also of neighbours that vote in its features."""
        return replace(self.key, strategy=self.key.strategy.removesuffix(KNN))

    @property
    def learned(self) -> bool:
        """In epochs; false for a memory, which was fitted in one pass and has no training loss."""
        return bool(self.history["train_loss"].notna().any())

    @property
    def epoch_offset(self) -> int:
        """Added to an epoch of the files, which count from 0, it gives the one that people count."""
        return 1 - int(self.history["epoch"].min())

    def value(self, split: str, metric: str, end: str = "value") -> float:
        """A metric as evaluate has it; end: value, or low or high of its interval, which the test split alone has. NaN:
        not defined."""
        return value_of(self.metrics, split, metric, end)


@dataclass(frozen=True)
class Floor:
    """Predictions without a network. `about`: what floor.json says of it."""

    about: Mapping[str, Any]
    metrics: Mapping[str, Any]
    draws: pd.DataFrame
    test: pd.DataFrame

    made_by = "floor"
    remedy = "`dvc repro -f floor`"

    @property
    def key(self) -> str:
        return str(self.about["name"])

    def value(self, split: str, metric: str, end: str = "value") -> float:
        """As of a model."""
        return value_of(self.metrics, split, metric, end)


def value_of(metrics: Mapping[str, Any], split: str, metric: str, end: str) -> float:
    estimate = metrics[split].get(metric)
    value = estimate.get(end) if isinstance(estimate, Mapping) else estimate
    return np.nan if value is None else float(value)


@dataclass(frozen=True)
class Missing:
    """A member of the matrix that is not complete. stage: the first whose files are not there."""

    key: Key
    stage: str

    @property
    def remedy(self) -> str:
        """The command that makes it."""
        return repro(self.stage, self.key)


@dataclass(frozen=True)
class Data:
    """The data set all models share. Row i of `index` describes `images[i]`."""

    index: pd.DataFrame
    meta: Mapping[str, Any]
    validation: Mapping[str, Any]
    shortcuts: Mapping[str, Any]  # whether the label can be told from what should not matter
    shortcut_pictures: Mapping[str, np.ndarray]  # `means`, uint8 K×T×T: of each class; meter: the pixels that it sees
    images: np.ndarray
    split: Mapping[str, Any]  # the split card
    steps: Sequence[Mapping[str, Any]]  # images that steps of preprocess left as they were


def members(keys: Sequence[Key], classes: Sequence[str], task: TaskMeasures) -> tuple[list[Member], list[Missing]]:
    """The complete members of the matrix, and the others.

    Raises:
        UserError: the matrix is empty, no member is complete, or a file is unreadable.
    """
    if not keys:
        raise UserError(
            f"{paths.PARAMS}: matrix: one of backbone, strategy and sample is empty, so there is nothing to compare. "
            "Put at least one name in each."
        )
    absent = {key: [path for path, _ in files_of(key) if not path.is_file()] for key in keys}
    if all(absent.values()):
        first, files = next(iter(absent.items()))
        raise UserError(
            f"compare: no model of the matrix is complete. The first, {first}, lacks {', '.join(map(str, files))}. "
            f"Make it with {repro(files[0].parts[1], first)}, or change `matrix` in {paths.PARAMS}."
        )
    missing = [Missing(key, files[0].parts[1]) for key, files in absent.items() if files]
    return [member(key, classes, task) for key, files in absent.items() if not files], missing


def files_of(key: Key) -> Iterator[tuple[Path, Callable[[Path], Any]]]:
    for stage, readers in FILES.items():
        for name, reader in readers.items():
            yield paths.report_dir(stage, key) / name, reader


def member(key: Key, classes: Sequence[str], task: TaskMeasures) -> Member:
    contents: dict[str, Any] = {}
    for path, reader in files_of(key):
        try:
            contents[path.stem] = reader(path)
        except (ValueError, OSError) as error:  # JSON, CSV and parquet errors are all ValueErrors
            raise UserError(
                f"{path}: not readable ({error}). Make it again with {repro(path.parts[1], key, force=True)}."
            ) from None
    table, path = contents.pop("predictions"), paths.report_dir("evaluate", key) / "predictions.parquet"
    if "group" not in table or not {"one_class", *SECTIONS, *task.sections} <= contents["metrics"].keys():
        raise UserError(f"{path}: from an older version. Make it again with {repro('evaluate', key, force=True)}.")
    test = of_test(table)
    answers = task.answers(test)
    if list(answers.classes) != list(classes):
        raise UserError(
            f"{path}: classes {', '.join(answers.classes) or '(none)'}; data/processed/meta.json has "
            f"{', '.join(classes)}. Run `dvc repro`."
        )
    return Member(
        key=key,
        **contents,
        start=start_facts(contents["summary"]["start"]),
        test=test,
        validation=table[table["split"] == "val"].reset_index(drop=True),
        answers=answers,
        fingerprint=sha256(path.read_bytes()).hexdigest(),
    )


def of_test(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["split"] == "test"].sort_values("path", ignore_index=True)


def voters(members: Sequence[Member], task: TaskMeasures) -> list[Member]:
    """For each model whose neighbours vote, that vote as a member of its own: <backbone>-<strategy>+knn-<sample>.

    Raises:
        UserError: a file is missing or unreadable.
    """
    return [voter(m, task) for m in members if m.embed["knn"]]


def voter(m: Member, task: TaskMeasures) -> Member:
    folder = paths.report_dir("embed", m.key) / "knn"
    path = folder / "predictions.parquet"
    try:
        table, draws = pd.read_parquet(path), pd.read_parquet(folder / "draws.parquet")
        metrics = read_json(folder / "metrics.json")
    except (ValueError, OSError) as error:
        raise UserError(f"{folder}: not readable ({error}). Make it again with `dvc repro -f embed@{m.key}`.") from None
    test = of_test(table)
    return replace(
        m,
        key=replace(m.key, strategy=m.key.strategy + KNN),
        metrics=metrics,
        cost={},
        draws=draws,
        cases=[],
        test=test,
        validation=table[table["split"] == "val"].reset_index(drop=True),
        answers=task.answers(test),
        fingerprint=sha256(path.read_bytes()).hexdigest(),
        kind="neighbours",
    )


def floors() -> list[Floor]:
    """In the order of params.yaml: floor.models.

    Raises:
        UserError: the stage has not run, or a file is unreadable.
    """
    folder = paths.report_dir("floor")
    if not (folder / "floor.json").is_file():
        raise UserError(f"{folder / 'floor.json'}: missing. Make it with `dvc repro floor`.")
    try:
        entries = read_json(folder / "floor.json")
        facts = {name: value for name, value in entries.items() if name != "floors"}
        return [floor(folder / entry["name"], {**entry, **facts}) for entry in entries["floors"]]
    except (ValueError, OSError) as error:
        raise UserError(f"{folder}: not readable ({error}). Make it again with `dvc repro -f floor`.") from None


def floor(folder: Path, about: Mapping[str, Any]) -> Floor:
    return Floor(
        about=about,
        metrics=read_json(folder / "metrics.json"),
        draws=pd.read_parquet(folder / "draws.parquet"),
        test=of_test(pd.read_parquet(folder / "predictions.parquet")),
    )


def shortcut_pictures() -> dict[str, np.ndarray]:
    """Empty where nothing was measured."""
    path = paths.SHORTCUTS / "pictures.npz"
    if not path.is_file():
        return {}
    with np.load(path) as pictures:
        return dict(pictures)


def start_facts(start: str | None) -> dict[str, Any]:
    """What the JSON file beside a weights file says of it; empty without one."""
    path = Path(start).with_suffix(".json") if start and start.endswith(".safetensors") else None
    return read_json(path) if path and path.is_file() else {}


def data() -> Data:
    """Raises UserError when validate or preprocess has not run."""
    files = {name: paths.PROCESSED / name for name in ("index.parquet", "meta.json", "images.npy")}
    measured = paths.SHORTCUTS / "shortcuts.json"
    reports = {name: paths.report_dir("preprocess") / name for name in ("split.json", "steps.json", BEFORE_AFTER)}
    for path, stage in [
        (paths.VALIDATION, "validate"),
        (measured, "validate"),
        *((path, "preprocess") for path in [*files.values(), *reports.values()]),
    ]:
        if not path.is_file():
            raise UserError(f"{path}: missing. Make it with `dvc repro {stage}`.")
    return Data(
        index=pd.read_parquet(files["index.parquet"]),
        meta=read_json(files["meta.json"]),
        validation=read_json(paths.VALIDATION),
        shortcuts=read_json(measured),
        shortcut_pictures=shortcut_pictures(),
        images=np.load(files["images.npy"], mmap_mode="r"),
        split=read_json(reports["split.json"]),
        steps=read_json(reports["steps.json"]),
    )
