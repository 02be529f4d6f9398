"""What goes beside the weights when a model is logged: signature, input example, requirements, code."""

from __future__ import annotations

import base64
import io
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from ..arrays.preprocessing import Preprocessor
from ..model.recipe import Recipe

if TYPE_CHECKING:
    from PIL import Image

CODE = Path(__file__).parents[2]
REQUIREMENTS = (
    "albumentations", "mlflow", "numpy", "opencv-python-headless", "pandas", "pillow", "pydantic", "pydicom",
    "ruamel.yaml", "safetensors", "scipy", "torch", "torchmetrics", "torchvision", "tqdm",
)  # fmt: skip


def log_model(folder: Path, export: Path | None = None) -> ModelInfo:
    """Log models/<key> to the active run, so that `mlflow models serve` answers requests for it. `export`: a folder
    that is to lie beside it, under its own name."""
    recipe = Recipe.read(folder)
    beside = {} if export is None else {"export": str(export)}
    logged: ModelInfo = mlflow.pyfunc.log_model(
        name=recipe.key,
        python_model=str(Path(__file__).with_name("serving_model.py")),
        artifacts={"model": str(folder), **beside},
        code_paths=[str(CODE)],
        signature=signature(recipe),
        input_example=input_example(recipe),
        pip_requirements=requirements(recipe),
    )
    return logged


def requirements(recipe: Recipe) -> list[str]:
    from ..tasks import TASKS

    network = ["timm"] if recipe.architecture.source == "timm" else []
    needed = dict.fromkeys([*REQUIREMENTS, *network, *TASKS[recipe.task].REQUIREMENTS])
    return [f"{name}=={version(name)}" for name in needed]


def signature(recipe: Recipe) -> ModelSignature:
    from ..tasks import TASKS

    kinds = {str: DataType.string, float: DataType.double}
    columns = TASKS[recipe.task].columns(recipe.classes)
    outputs: list[ColSpec | TensorSpec] = [ColSpec(kinds[kind], name) for name, kind in columns.items()]
    inputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.string, "image")]
    if Preprocessor(recipe.preprocess).crop_to_mask:  # optional for MLflow: the model itself says why it needs one
        inputs.append(ColSpec(DataType.string, "mask", required=False))
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


def input_example(recipe: Recipe) -> pd.DataFrame:
    """A grey wedge of the model's input size: no patient's image travels with a model. Where the model needs a mask,
    all of it is inside."""
    from PIL import Image

    height, width = recipe.size
    columns = {"image": [_png(Image.linear_gradient("L").resize((width, height)))]}
    if Preprocessor(recipe.preprocess).crop_to_mask:
        columns["mask"] = [_png(Image.new("L", (width, height), 255))]
    return pd.DataFrame(columns)


def _png(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
