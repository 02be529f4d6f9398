"""What tests of several stages share: a small set of arrays with a known answer, and params for a training on it."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

REPOSITORY = Path(__file__).parents[1]

# started in the background, a shell has us ignore Ctrl-C, and so would every process that tests start and interrupt
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole pipelines first: they take minutes each, and two processes share the files in this order."""
    items.sort(key=lambda item: "pipeline" not in item.path.parts)


@pytest.fixture(scope="session")
def shipped() -> Path:
    """The checkpoint of small_cnn that comes with the repository."""
    return REPOSITORY / "models" / "pretrained" / "small_cnn_phantom.safetensors"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory that is its own project root."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path


def write_processed(
    folder: Path, classes: tuple[str, ...] = ("normal", "sick"), patients: int = 40, side: int = 32
) -> None:
    """Two images a patient, `side` pixels wide. Class k has a bright square in corner k: anything that learns gets it right."""
    rng = np.random.default_rng(0)
    rows, images = [], []
    for patient in range(patients):
        k = patient % len(classes)
        for view in range(2):
            image = rng.integers(40, 120, (side, side, 1), dtype=np.uint8)
            half, edge = side // 2, side // 16
            rows_of, cols_of = (slice(half * at + edge, half * (at + 1) - edge) for at in divmod(k, 2))
            image[rows_of, cols_of] = 230
            images.append(image)
            fold = -1 if patient % 5 == 0 and patient >= patients // 2 else (patient // len(classes)) % 4
            name = f"images/{classes[k]}/p{patient:03d}_{view}.png"
            rows.append(
                {"path": name, "label": classes[k], "patient": f"p{patient:03d}", "group": patient, "fold": fold}
            )
    index = pd.DataFrame(rows)
    index["label"] = pd.Categorical(index["label"], categories=list(classes))
    index["split"] = np.select([index["fold"] < 0, index["fold"] == 0], ["test", "val"], "train")
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", np.stack(images))
    index = index.assign(has_mask=False, mask_fits=True)
    index.to_parquet(folder / "index.parquet", index=False)
    write_manifest(folder.parent, index["path"], side)
    meta = {
        "classes": list(classes),
        "structures": [],
        "size": [side, side],
        "channels": 1,
        "preprocess": {"mode": "grey", "size": side, "steps": [], "keep_aspect": False},
        "fingerprint": f"test-{len(classes)}-{patients}-{side}",
    }
    (folder / "meta.json").write_text(json.dumps(meta))


def write_manifest(folder: Path, paths: pd.Series, side: int) -> None:
    """manifest.parquet with what evaluate and export read of it; the facts and digests are made up."""
    rng = np.random.default_rng(len(paths))
    facts = {"brightness": rng.normal(100, 20, len(paths)), "contrast": rng.normal(50, 5, len(paths))}
    facts |= {"sharpness": rng.normal(300, 50, len(paths)), "sha256": [f"{row:064x}" for row in range(len(paths))]}
    pd.DataFrame({"path": paths, "width": side, "height": side, **facts}).to_parquet(folder / "manifest.parquet")


@pytest.fixture(scope="session")
def make_processed() -> Callable[..., None]:
    return write_processed


@pytest.fixture
def processed(workspace: Path) -> Path:
    """data/processed with two classes that are easy to tell apart; the working directory is above it."""
    write_processed(workspace / "data" / "processed")
    return workspace / "data" / "processed"


@pytest.fixture(scope="session")
def train_params() -> Callable[..., Any]:
    """Params of a quick training; keyword arguments replace fields, e.g. epochs=1 or strategy={"plan": …}."""
    from stages.train import Params

    def make(**changes: Any) -> Params:
        values: dict[str, Any] = {
            "task": "classification",
            "seed": 0,
            "backbone": {"source": "lightbox", "name": "small_cnn"},
            "strategy": {"plan": "from_scratch"},
            "sample": {},
            "epochs": 3,
            "batch_size": 16,
            "early_stopping": {"patience": None},
        }
        return Params.model_validate({**values, **changes})

    return make
