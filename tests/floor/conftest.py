"""Arrays and a manifest of a few small images, as preprocess and validate leave them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.floor.params import Params

PARTS = ("train", "train", "val", "test")


def write(root: Path, patients: int = 120, masks: bool = False, classes: tuple[str, ...] = ("normal", "ill")) -> None:
    """Two images 32×32 a patient; a bright patch of the ill in the middle, faint in noise."""
    rng = np.random.default_rng(0)
    rows = [
        (f"{p:03d}_{n}.png", p, p % len(classes), PARTS[p // len(classes) % 4]) for p in range(patients) for n in (0, 1)
    ]
    table = pd.DataFrame(rows, columns=["path", "group", "code", "split"])
    images = rng.normal(110, 30, (len(table), 32, 32))
    images[table["code"] > 0, 12:20, 12:20] += 18
    label = pd.Categorical.from_codes(table["code"], categories=list(classes))
    fold = table["split"].map({"train": 1, "val": 0, "test": -1})
    index = table[["path", "split", "group"]].assign(label=label, patient="p" + table["group"].astype(str), fold=fold)
    folder = root / "data/processed"
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", np.clip(images, 0, 255).astype(np.uint8)[..., None])
    index.assign(has_mask=masks, mask_fits=False).to_parquet(folder / "index.parquet")
    if masks:
        shapes = np.zeros((len(table), 32, 32), np.uint8)
        for i, shape in enumerate(shapes):
            shape[8 + i % 3 : 24, 8:24] = 1
        np.save(folder / "masks.npy", shapes)
    meta = {
        "classes": list(classes), "structures": ["lung"] if masks else [], "size": [32, 32], "channels": 1,
        "preprocess": {"mode": "grey", "size": 32}, "fingerprint": "0" * 64,
    }  # fmt: skip
    (folder / "meta.json").write_text(json.dumps(meta))
    width = 64 + 16 * (table["code"] > 0) * (rng.random(len(table)) < 0.5)
    manifest = table[["path"]].assign(width=width, height=64, mode="L", quantisation=np.nan)
    manifest.to_parquet(root / "data/manifest.parquet")


@pytest.fixture
def arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    monkeypatch.chdir(tmp_path)
    return lambda **options: write(tmp_path, **options)


@pytest.fixture
def params() -> Callable[..., Params]:
    def make(task: str = "classification", **changes: object) -> Params:
        return Params.model_validate({"task": task, "evaluate": {"bootstrap": 200}, **changes})

    return make
