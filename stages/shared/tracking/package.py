"""What goes beside the weights when a model is logged: signature, input example, requirements, code."""

from __future__ import annotations

import base64
import io
from importlib.metadata import version
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from ..model.recipe import Recipe

CODE = Path(__file__).parents[2]
REQUIREMENTS = (
    "albumentations", "mlflow", "numpy", "opencv-python-headless", "pandas", "pillow", "pydantic", "pydicom",
    "ruamel.yaml", "safetensors", "scipy", "torch", "torchmetrics", "torchvision", "tqdm",
)  # fmt: skip


def log_model(folder: Path) -> None:
    """Log models/<key> to the active run, so that `mlflow models serve` answers requests for it."""
    recipe = Recipe.read(folder)
    mlflow.pyfunc.log_model(
        name=recipe.key,
        python_model=str(Path(__file__).with_name("serving_model.py")),
        artifacts={"model": str(folder)},
        code_paths=[str(CODE)],
        signature=signature(recipe),
        input_example=input_example(recipe),
        pip_requirements=requirements(recipe),
    )


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
    return ModelSignature(inputs=Schema([ColSpec(DataType.string, "image")]), outputs=Schema(outputs))


def input_example(recipe: Recipe) -> pd.DataFrame:
    """A grey wedge of the model's input size: no patient's image travels with a model."""
    from PIL import Image

    height, width = recipe.size
    wedge = Image.linear_gradient("L").resize((width, height))
    buffer = io.BytesIO()
    wedge.save(buffer, format="PNG")
    return pd.DataFrame({"image": [base64.b64encode(buffer.getvalue()).decode("ascii")]})
