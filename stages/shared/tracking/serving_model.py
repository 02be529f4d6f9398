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
    """Column `image`: an image file (PNG, JPEG, DICOM, …), base64. Column `mask`, where the images that the model
    learned from were cropped to a mask: an image file of the same view, white inside, base64. The answer is the task's:
    one row per image."""

    def load_context(self, context: Any) -> None:
        from pathlib import Path

        from stages.shared.arrays.preprocessing import Preprocessor
        from stages.shared.tasks import TASKS
        from stages.shared.tasks.models import load

        self.model, self.recipe = load(Path(context.artifacts["model"]))
        self.task = TASKS[self.recipe.task]
        self.preprocess = Preprocessor(self.recipe.preprocess)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        masks = model_input["mask"] if "mask" in model_input else [None] * len(model_input)
        pairs = enumerate(zip(model_input["image"], masks, strict=True))
        images = np.stack([self.read(i, image, mask) for i, (image, mask) in pairs])
        return self.task.answer(self.model, images, self.recipe)

    def read(self, row: int, image: str, mask: str | None = None) -> np.ndarray:
        """What the model sees, uint8 H×W×C. `mask` may be missing where the recipe needs none."""
        inside = decoded(row, "mask", mask) if isinstance(mask, str) and mask else None
        crop = self.preprocess.crop_to_mask
        if inside is None and crop is not None and crop.without_mask == "refuse":
            raise ValueError(
                f"row {row}: this model learned from images that were cropped to a mask, so it needs a mask of this "
                "one. Send it in column `mask`: the bytes of an image file, white inside, base64."
            )
        return self.preprocess(decoded(row, "image", image), f"row {row}", inside)


def decoded(row: int, column: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"row {row}: `{column}` is not base64 ({error}); send the bytes of an image file.") from None


mlflow.models.set_model(ServedModel())
