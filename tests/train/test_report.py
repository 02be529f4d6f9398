"""What a training leaves beside its weights: numbers that were measured, and no picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stages.shared.core.job import Job
from stages.shared.core.paths import Key
from stages.train import run


def test_a_training_leaves_tables_and_what_it_measured(processed: Path, train_params: Callable[..., Any]) -> None:
    result = run(train_params(epochs=2), Job(Key("small_cnn", "from_scratch", "full")))
    folder = Path("reports/train/small_cnn-from_scratch-full")
    assert {path.name for path in folder.iterdir()} == {"history.csv", "plan.csv", "rows.npz", "summary.json"}
    assert result.figures == ()
    summary, history = json.loads((folder / "summary.json").read_text()), pd.read_csv(folder / "history.csv")
    train = pd.read_parquet(processed / "index.parquet").query("split == 'train'")
    assert summary["train_images"] == len(train)
    assert np.load(folder / "rows.npz")["train"].tolist() == train.index.tolist()
    assert summary["train_patients"] == train["patient"].nunique()
    assert summary["epochs"] == len(history) == 2
    assert summary["images_shown"] <= 2 * len(train) < summary["images_shown"] + 2 * 16  # less than a batch is dropped
    assert 0 < summary["preparation_seconds"] < summary["seconds"]
    assert result.metrics["val/best_auroc"] == pytest.approx(history["val_auroc"][summary["best_epoch"]])
    assert not summary.keys() & {"best_val_auroc", "images_per_second"}  # derived: logged, not stored
