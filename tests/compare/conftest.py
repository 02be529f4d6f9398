"""A made-up project: the files that six models would leave behind, with images that look like films."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from matplotlib.figure import Figure
from PIL import Image

from stages import compare
from stages.compare import stage as compare_stage
from stages.compare.views import classification as classification_view
from stages.evaluate import Params as Evaluation
from stages.explain import Params as Explain
from stages.explain.checks.examine import examine
from stages.explain.stage import write_examination
from stages.preprocess.card import card
from stages.preprocess.params import Split
from stages.shared.arrays.arrays import load_arrays
from stages.shared.core.job import Job
from stages.shared.core.paths import Key
from stages.shared.measures import MEASURES
from stages.shared.measures.judge import judge, write
from stages.shared.measures.truth import NO_TRUTH
from stages.shared.model.model import Classifier
from stages.shared.model.recipe import Architecture
from stages.shared.tasks import classification
from stages.shared.tasks.models import create
from stages.train import Params, report
from stages.train.loop.history import History
from stages.train.machine.machine import Machine
from stages.train.plan.strategies import make_plan
from stages.train.sample import Rows
from stages.train.start.start import Start

from .evaluations import HOW, write_evaluation

STRATEGIES, SAMPLES = ["from_scratch", "feature_extraction", "fine_tune"], ["tenth", "full"]
SKILL = {  # how far a model's score separates the classes
    ("from_scratch", "tenth"): 0.7,
    ("from_scratch", "full"): 1.7,
    ("feature_extraction", "tenth"): 1.4,
    ("feature_extraction", "full"): 1.6,
    ("fine_tune", "tenth"): 1.6,
    ("fine_tune", "full"): 2.0,
}
SETTINGS = {  # of the samples, as train writes them
    "tenth": {"fraction": 0.1, "per_class": None, "fold": 0, "seed": 0},
    "full": {"fraction": 1.0, "per_class": None, "fold": 0, "seed": 0},
}
SIZES = {"few": 4, "some": 8, "more": 16, "full": None}  # images a class of the samples with repeats; None: all
SEEDS = 3


def repeated(sizes: dict[str, int | None] = SIZES, seeds: int = SEEDS) -> dict[str, dict[str, object]]:
    """Samples "few_0", "few_1", …: every size with every seed."""
    return {
        f"{name}_{seed}": {"fraction": 1.0, "per_class": n, "fold": 0, "seed": seed}
        for name, n in sizes.items()
        for seed in range(seeds)
    }


def film(rng: np.random.Generator, size: int, finding: float) -> np.ndarray:
    """A crude chest film: (size, size) uint8."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    body = 150 * np.exp(-(((x / 0.95) ** 6) + (y / 1.3) ** 6))
    for side in (-1, 1):
        lung = 1 / (1 + np.exp(14 * (((x - side * 0.42) / 0.33) ** 2 + ((y + 0.02) / 0.72) ** 2 - 1)))
        body -= (95 + rng.normal(0, 5)) * lung
        body += 14 * lung * (np.sin(22 * (y + 0.25 * np.abs(x)) + side) > 0.55)
    body += 45 * np.exp(-((x / 0.11) ** 2)) + 40 * np.exp(-(((x - 0.16) / 0.27) ** 2 + ((y - 0.35) / 0.3) ** 2))
    cx, cy = rng.choice([-1, 1]) * 0.42, rng.uniform(-0.3, 0.45)
    body += finding * 75 * np.exp(-(((x - cx) / 0.17) ** 2 + ((y - cy) / 0.2) ** 2))
    return np.clip(body + rng.normal(0, 5, body.shape) + 18, 0, 255).astype(np.uint8)


def heat(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """(size, size) uint8, as explain writes it."""
    y, x = np.mgrid[-1 : 1 : len(image) * 1j, -1 : 1 : len(image) * 1j]
    cx, cy = rng.choice([-1, 1]) * 0.4, rng.uniform(-0.4, 0.5)
    return (255 * np.exp(-(((x - cx) / 0.3) ** 2 + ((y - cy) / 0.3) ** 2))).astype(np.uint8)


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_data(root: Path, classes: list[str], patients: int, size: int, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for patient in range(patients):
        label = int(rng.choice(len(classes)))
        split = "test" if patient % 4 == 0 else "val" if patient % 4 == 1 else "train"
        rows += [(patient, label, split, i) for i in range(rng.integers(1, 5))]
    index = pd.DataFrame(rows, columns=["group", "code", "split", "number"])
    index["patient"] = [f"p{n:03d}" for n in index.group]
    index["label"] = pd.Categorical.from_codes(index.code, categories=classes)
    index["path"] = [
        f"{classes[c]}/{p}_{i}.png" for c, p, i in zip(index.code, index.patient, index.number, strict=True)
    ]
    index["fold"] = index.split.map({"test": -1, "val": 0, "train": 1})
    index = index.sort_values("path", ignore_index=True)
    folder = root / "data/processed"
    folder.mkdir(parents=True)
    top = max(len(classes) - 1, 1)
    np.save(folder / "images.npy", np.stack([film(rng, size, c / top) for c in index.code])[..., None])
    index = index.assign(has_mask=False, mask_fits=True)
    columns = ["path", "label", "patient", "group", "split", "fold", "has_mask", "mask_fits"]
    index[columns].to_parquet(folder / "index.parquet")
    write_reports_of_preprocess(root, index[columns])
    write_json(
        folder / "meta.json",
        {
            "classes": classes,
            "structures": [],
            "size": [size, size],
            "channels": 1,
            "preprocess": {"mode": "grey", "size": size, "steps": [{"clahe": {"clip_limit": 2.0, "tile_grid": 8}}]},
            "fingerprint": "5f3c" * 16,
        },
    )
    return index


def write_reports_of_preprocess(root: Path, index: pd.DataFrame) -> None:
    manifest = index.assign(provided_split=None, sha256=index["path"], cluster=index["group"])
    write_json(root / "reports/preprocess/split.json", card(index, manifest, Split(folds=2)))
    write_json(root / "reports/preprocess/steps.json", [])
    Image.new("L", (600, 200), 90).save(root / "reports/preprocess/before_after.png")


def write_validation(root: Path, index: pd.DataFrame, classes: list[str]) -> None:
    check = {"severity": "critical", "success": True, "failed": 0, "examples": []}
    write_json(
        root / "reports/validate/validation.json",
        {
            "success": True,
            "images": len(index) + 3,
            "quarantined": 3,
            "patients": int(index.patient.nunique()),
            "classes": {c: int((index.label == c).sum()) for c in classes},
            "checks": [
                check | {"name": "label_known", "description": "Every image belongs to exactly one class."},
                check
                | {
                    "name": "readable",
                    "success": False,
                    "failed": 2,
                    "description": "Every file decodes as an image.",
                    "examples": [f"{classes[0]}/p900_0.png", f"{classes[0]}/p901_0.png"],
                },
                check
                | {
                    "name": "not_blank",
                    "severity": "warning",
                    "success": False,
                    "failed": 1,
                    "description": "No image is a single shade.",
                    "examples": [f"{classes[-1]}/p902_0.png"],
                },
            ],
        },
    )


def write_shortcuts(root: Path, classes: list[str], border: float = 0.55) -> None:
    """What validate leaves of its meters. `border`: the AUROC from the border of the image."""
    meter = {"reason": None, "flag": False, "disease": False, "features": 8}
    folder, rng = root / "reports/validate/shortcuts", np.random.default_rng(3)
    meters = [
        {"name": "file", "title": "File", "about": "size and mode", "disease": False, "flag": False,
         "reason": "all files have the same size, mode and format"},
        {**meter, "name": "border", "title": "Border of the image", "about": "the outer frame", "auroc": border,
         "low": border - 0.05, "high": border + 0.04, "flag": border - 0.05 > 0.6},
        {**meter, "name": "brightness", "title": "Brightness", "about": "grey levels", "auroc": 0.7, "low": 0.64,
         "high": 0.75, "disease": True},
    ]  # fmt: skip
    about = {"bar": 0.6, "level": 0.95, "images": 300, "groups": 160, "folds": 5, "reason": None}
    write_json(folder / "shortcuts.json", {**about, "meters": meters})
    frame = np.ones((32, 32), bool)
    frame[3:-3, 3:-3] = False
    means = rng.integers(0, 255, (len(classes), 64, 64)).astype(np.uint8)
    np.savez(folder / "pictures.npz", means=means, border=frame)


def write_floors(root: Path, index: pd.DataFrame, classes: list[str], shared: np.ndarray) -> None:
    """What floor leaves: one that guesses, and one with a little skill."""
    code, keep = index.label.cat.codes.to_numpy().astype(int), (index.split != "train").to_numpy()
    skilled = scores(code, len(classes), 0.6, shared, np.random.default_rng(11))
    guesses = np.full_like(skilled, 1 / len(classes))
    floors = []
    for name, prob in (("majority", guesses), ("hog", skilled)):
        table = classification.predictions(index[keep], prob[keep], classes)
        table = MEASURES["classification"].scored(table, None, NO_TRUTH, Evaluation())
        write(root / "reports/floor" / name, table, judge(table, MEASURES["classification"], HOW))
        about = {"title": name.upper(), "about": f"{name}, made up", "features": 4, "strength": None}
        floors.append({"name": name, **about})
    write_json(root / "reports/floor/floor.json", {"train_images": 200, "train_patients": 80, "floors": floors})


def scores(code: np.ndarray, classes: int, skill: float, shared: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(N, classes) probabilities; `shared` is the noise of the image itself, common to all models."""
    logits = 1.1 * shared + 0.7 * rng.normal(size=shared.shape)
    logits[np.arange(len(code)), code] += skill
    values = np.exp(logits)
    return values / values.sum(1, keepdims=True)


def write_model(
    root: Path, key: str, index: pd.DataFrame, classes: list[str], skill: float, shared: np.ndarray, seed: int,
    sample: dict[str, object],
) -> None:  # fmt: skip
    """What evaluate, train and explain leave of one model; its predictions are made up, the numbers are evaluate's."""
    rng = np.random.default_rng(seed)
    prob = scores(index.label.cat.codes.to_numpy().astype(int), len(classes), skill, shared, rng)
    keep = (index.split != "train").to_numpy()
    table = classification.predictions(index[keep], prob[keep], classes)
    table = MEASURES["classification"].scored(table, None, NO_TRUTH, Evaluation())
    write_evaluation(root / "reports/evaluate" / key, table)
    write_training(root, Key(*key.split("-")), index, skill, rng, sample)
    write_cases(root, key, table[table.split == "test"], index, rng)
    write_features(root, key, index, table, seed)


def write_features(root: Path, key: str, index: pd.DataFrame, table: pd.DataFrame, seed: int) -> None:
    """What embed leaves of a model whose neighbours do not vote; coordinates and neighbours are made up."""
    folder, rng = root / "reports/embed" / key, np.random.default_rng([seed, 1])
    folder.mkdir(parents=True)
    points = pd.DataFrame({"path": index.path, "use": index.split})
    points[["tsne_x", "tsne_y", "pca_x", "pca_y"]] = rng.normal(size=(len(index), 4)).astype(np.float32)
    points["predicted"] = points.path.map(table.set_index("path").predicted.astype(str))
    points.to_parquet(folder / "points.parquet")
    train = index.path[index.split == "train"]
    close = pd.DataFrame({"path": table.path.repeat(3), "rank": np.tile([1, 2, 3], len(table))})
    close.assign(neighbour=rng.choice(train, len(close)), cosine=0.9).to_parquet(folder / "neighbours.parquet")
    pd.DataFrame(columns=["path", "split", "other", "other_split", "cosine"]).to_csv(folder / "leaks.csv", index=False)
    write_json(
        folder / "embed.json",
        {
            "knn": None,
            "silhouette": {"value": 0.2},
            "maps": {"explained": [0.4, 0.1]},
            "leaks": {"suspects": 0, "bound": 0.99, "false_alarms": 0.05},
        },
    )


def used_of(index: pd.DataFrame, sample: dict[str, object]) -> pd.DataFrame:
    """The training images of a sample."""
    train = index[index.split == "train"]
    if sample["per_class"]:
        return train.groupby("label", observed=True).head(sample["per_class"])
    return train[train.patient.isin(sorted(train.patient.unique())[:: round(1 / sample["fraction"])])]


def write_training(
    root: Path, key: Key, index: pd.DataFrame, skill: float, rng: np.random.Generator, sample: dict[str, object]
) -> None:
    """What train's own report says of a small_cnn, with a history that is made up."""
    epochs = 12
    epoch = np.arange(1, epochs + 1)
    train = 0.75 * np.exp(-epoch * skill / 9) + rng.normal(0, 0.01, epochs)
    table = pd.DataFrame(
        {
            "epoch": epoch - 1.0,
            "train_loss": train,
            "val_loss": train + 0.004 * epoch**1.5 + 0.05,
            "val_accuracy": 0.9 - train / 2,
            "val_auroc": 0.5 + 0.19 * skill * (1 - np.exp(-epoch / 4)) + rng.normal(0, 0.01, epochs),
            "lr": 1e-3,
            "lr_factor": 0.8 ** (epoch - 1),
            "elapsed": 1.0 * epoch,
        }
    )
    history = History(str(key), lambda metrics, step: None)
    seconds = 12.3 + 30 * (key.sample == "full")
    history.load_state_dict({"rows": table.to_dict("records"), "images": 400, "seconds": seconds, "preparation": 0.0})
    params = train_params(key.strategy, sample)
    plan = make_plan(params.strategy, list(network().backbone.blocks), epochs)
    trained = report.Trained(network(), plan, frozenset(), Machine(), history, int(table.val_loss.idxmin()))
    used = used_of(index, sample)
    rows = Rows(np.flatnonzero(index.path.isin(used.path)), np.flatnonzero(index.split == "val"))
    start = None if key.strategy == "from_scratch" else Start(params.backbone.weights, "lightbox", "small_cnn")
    with contextlib.chdir(root):
        report.write_report(trained, load_arrays().index, rows, start, params.model_dump(mode="json"), Job(key))


def train_params(strategy: str, sample: dict[str, object]) -> Params:
    last = {"last_blocks": 1} if strategy == "fine_tune" else {}
    return Params.model_validate(
        {
            "task": "classification", "seed": 0, "epochs": 12, "batch_size": 16,
            "backbone": {"source": "lightbox", "name": "small_cnn", "weights": "models/pretrained/small_cnn.safetensors"},
            "strategy": {"plan": strategy, **last}, "sample": sample,
        }
    )  # fmt: skip


@cache
def network(classes: int = 2) -> Classifier:
    return create("classification", Architecture(source="lightbox", name="small_cnn"), classes)


def write_cases(root: Path, key: str, test: pd.DataFrame, index: pd.DataFrame, rng: np.random.Generator) -> None:
    folder = root / "reports/explain" / key
    for name in ("images", "heatmaps"):
        (folder / name).mkdir(parents=True)
    images = np.load(root / "data/processed/images.npy", mmap_mode="r")
    correct = (test.predicted.astype(str) == test.label.astype(str)).to_numpy()
    chosen = pd.concat([test[correct].iloc[::9][:4], test[~correct][:3]])
    cases = []
    row_of = {path: row for row, path in enumerate(index.path)}
    for _, case in chosen.iterrows():
        name = case.path.replace("/", "_").replace("<", "").replace(">", "")
        picture = images[row_of[case.path], ..., 0]
        Image.fromarray(picture).save(folder / "images" / name)
        Image.fromarray(heat(rng, picture)).save(folder / "heatmaps" / name)
        cases.append(
            {
                "path": case.path,
                "label": str(case.label),
                "predicted": case.predicted,
                "confidence": float(case[f"prob_{case.predicted}"]),
                "correct": str(case.label) == case.predicted,
                "image": f"images/{name}",
                "heatmap": f"heatmaps/{name}",
            }
        )
    write_json(folder / "cases.json", cases)
    classes = [str(name) for name in test.label.cat.categories]
    with contextlib.chdir(root):
        few = Explain(images=8, shares=[0.5], bootstrap=100)
        write_examination(folder, examine(network(len(classes)), load_arrays(), test, classes, few), "planted")


def fabricate(root: Path, classes: list[str] | None = None, patients: int = 160, size: int = 32) -> Path:
    """Every file that compare reads, for small_cnn × three strategies × two samples."""
    classes = classes or ["normal", "pneumonia"]
    rng = np.random.default_rng(7)
    index = write_data(root, classes, patients, size, rng)
    write_validation(root, index, classes)
    write_shortcuts(root, classes)
    shared = rng.normal(size=(len(index), len(classes)))
    write_floors(root, index, classes, shared)
    for seed, (strategy, sample) in enumerate(product(STRATEGIES, SAMPLES)):
        key = f"small_cnn-{strategy}-{sample}"
        write_model(root, key, index, classes, SKILL[strategy, sample], shared, seed, SETTINGS[sample])
    return root


def fabricate_repeats(
    root: Path, samples: dict[str, dict[str, object]] | None = None, backbones: tuple[str, ...] = ("small_cnn",),
    patients: int = 160, size: int = 32,
) -> Path:  # fmt: skip
    """The same with samples that are repeats of a few sizes; every model has luck of its own."""
    classes, rng = ["normal", "pneumonia"], np.random.default_rng(7)
    index = write_data(root, classes, patients, size, rng)
    write_validation(root, index, classes)
    write_shortcuts(root, classes)
    shared = rng.normal(size=(len(index), len(classes)))
    write_floors(root, index, classes, shared)
    members = product(backbones, STRATEGIES, (samples or repeated()).items())
    for seed, (backbone, strategy, (name, sample)) in enumerate(members):
        much = np.log10(len(used_of(index, sample)) / 8)  # decades above the smallest size
        start, gain = {"from_scratch": (0.5, 1.0), "feature_extraction": (1.4, 0.2), "fine_tune": (1.5, 0.45)}[strategy]
        skill = start + gain * much + rng.normal(0, 0.12) + 0.2 * backbones.index(backbone)
        write_model(root, f"{backbone}-{strategy}-{name}", index, classes, skill, shared, seed, sample)
    return root


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Callable[[str, Callable[[Path], object]], Path]:
    """`once(name, make)`: a folder of that name which `make` has filled, once for all processes of the tests."""
    base = tmp_path_factory.getbasetemp()
    root = base if worker_id == "master" else base.parent

    def folder(name: str, make: Callable[[Path], object]) -> Path:
        path, made = root / name, root / f"{name}.made"
        with FileLock(root / f"{name}.lock"):
            if not made.exists():
                make(path)
                made.touch()
        return path

    return folder


@pytest.fixture(scope="session")
def projects(once: Callable[[str, Callable[[Path], object]], Path]) -> dict[str, Path]:
    """Read-only projects, made once: binary, three classes."""
    three = ["normal", "bacterial", "viral"]
    return {"binary": once("binary", fabricate), "three": once("three", lambda root: fabricate(root, three))}


@pytest.fixture(scope="session")
def compared(projects: dict[str, Path], once: Callable[[str, Callable[[Path], object]], Path]) -> dict[str, Path]:
    """reports/compare/ of each project; that of the binary one has documents."""
    changes = {"binary": {"documents": True}, "three": {"strategy": STRATEGIES[:2]}}
    for name, root in projects.items():
        once(f"{name}-compared", lambda _, root=root, name=name: compare_in(root, **changes[name]))
    return {name: root / "reports/compare" for name, root in projects.items()}


@pytest.fixture(scope="session")
def repeats(once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """A read-only project of three strategies × four sizes × three seeds, compared."""
    return once("repeats", lambda root: compare_in(fabricate_repeats(root), sample=list(repeated())))


@pytest.fixture
def repeats_project(repeats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it that a test may spoil; the working directory is in it."""
    shutil.copytree(repeats, tmp_path / "repeats", ignore=shutil.ignore_patterns("compare"))
    monkeypatch.chdir(tmp_path / "repeats")
    monkeypatch.setenv("LIGHTBOX_DEFER_SUMMARY", "1")
    return tmp_path / "repeats"


@pytest.fixture
def repeated_samples() -> list[str]:
    return list(repeated())


@pytest.fixture
def project(projects: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the binary project that a test may spoil; the working directory is in it."""
    shutil.copytree(projects["binary"], tmp_path / "project", ignore=shutil.ignore_patterns("compare"))
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("LIGHTBOX_DEFER_SUMMARY", "1")
    return tmp_path / "project"


@pytest.fixture
def without_floors(project: Path) -> None:
    """For tests that put predictions for other images in place of the models'."""
    write_json(project / "reports/floor/floor.json", {"floors": []})


@pytest.fixture
def blank_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run draws empty figures, for tests of tables and text: drawing is nearly all of its time."""
    names = ("intervals", "data_efficiency", "gains", "roc", "precision_recall", "precision_recall_f1", "plans")
    names += ("shortcuts", "shortcut_pictures", "above_floor", "pareto", "question_transfer", "question_tuning")
    names += ("reliability", "decision_curves", "risk_coverage")
    monkeypatch.setattr(compare_stage, "all_figures", lambda study: {name: Figure() for name in names})
    monkeypatch.setattr(classification_view, "cards", lambda study: lambda key: Figure())
    monkeypatch.setattr(compare_stage, "save_maps", lambda folder, study: [])


@pytest.fixture
def shortcuts() -> Callable[..., None]:
    return write_shortcuts


@pytest.fixture
def fabricated() -> Callable[..., Path]:
    return fabricate


@pytest.fixture
def params() -> Callable[..., compare.Params]:
    return settings


def settings(**changes: object) -> compare.Params:
    """Params of the six models; `backbone`, `strategy`, `sample` change the matrix, the rest are compare's own. Without
    documents, which few tests look at and every run would draw."""
    matrix = {"backbone": ["small_cnn"], "strategy": STRATEGIES, "sample": SAMPLES}
    matrix |= {name: changes.pop(name) for name in list(matrix) if name in changes}
    return compare.Params.model_validate({"task": "classification", "matrix": matrix, "documents": False} | changes)


def compare_in(root: Path, **changes: object) -> Path:
    with contextlib.chdir(root):
        compare.run(settings(**changes), Job())
    return root / "reports/compare"
