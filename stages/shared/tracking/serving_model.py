"""The model as MLflow serves it. MLflow stores this file as code ("models from code") and runs it on its own, with
`stages` beside it: hence the absolute imports."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import mlflow.models
import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel


class ServedModel(PythonModel):
    """Column `image`: an image file (PNG, JPEG, DICOM, …), base64. The answer is the task's: one row per image."""

    def load_context(self, context: Any) -> None:
        from pathlib import Path

        from stages.shared.arrays.preprocessing import Preprocessor
        from stages.shared.tasks import TASKS
        from stages.shared.tasks.models import load

        self.model, self.recipe = load(Path(context.artifacts["model"]))
        self.task = TASKS[self.recipe.task]
        self.preprocess = Preprocessor(self.recipe.preprocess)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        images = np.stack([self._read(i, text) for i, text in enumerate(model_input["image"])])
        return self.task.answer(self.model, images, self.recipe)

    def _read(self, row: int, text: str) -> np.ndarray:
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"row {row}: `image` is not base64 ({error}); send the bytes of an image file.") from None
        return self.preprocess(data, f"row {row}")


mlflow.models.set_model(ServedModel())
