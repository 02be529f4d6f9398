"""One trained, evaluated and exported model for all tests of serving. Nobody may change its folder: copy it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest

KEY = "small_cnn-from_scratch-full"


@pytest.fixture(scope="session")
def export_key() -> str:
    return KEY


@pytest.fixture(scope="session")
def make_study(
    make_processed: Callable[..., None], train_params: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """A folder with data/processed, models and reports of one model; `classes` and more go to write_processed."""

    def study(epochs: int = 4, **images: Any) -> Path:
        from stages import evaluate, train
        from stages.shared.core.job import Job
        from stages.shared.core.paths import Key

        folder, job = tmp_path_factory.mktemp("study"), Job(Key(*KEY.split("-")))
        with pytest.MonkeyPatch.context() as patch, chdir(folder):
            patch.delenv("DVC_ROOT", raising=False)
            make_processed(folder / "data" / "processed", **images)
            train.run(train_params(epochs=epochs), job)
            evaluate.run(evaluate.Params(bootstrap=200, cost={"seconds": 0.001}), job)
        return folder

    return study


@pytest.fixture(scope="session")
def exported_study(make_study: Callable[..., Path]) -> Path:
    """The same, and models/onnx/<key>."""
    from stages.serve.export import make
    from stages.serve.params import Params

    folder = make_study()
    with chdir(folder):
        make.export(KEY, Params(), "auroc")
    return folder
