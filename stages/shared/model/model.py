"""A classifier: normalise, backbone, head. How it is saved, loaded and asked."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import nn

from ..core.errors import UserError
from ..core.files import atomic
from ..core.progress import progress
from .backbones import Backbone, build
from .recipe import WEIGHTS, Architecture, Head, Recipe

# Shapes: B batch, C channels (1 or 3), H×W pixels, F features, K classes


class Classifier(nn.Module):
    """uint8 images B×C×H×W -> logits B×K. A grey image goes in as three equal channels."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, backbone: Backbone, classes: int, dropout: float = 0.0, head: Head | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = make_head(backbone.features, classes, dropout, head or Head())
        for name in ("mean", "std"):
            values = torch.tensor(getattr(backbone.normalisation, name)).view(1, 3, 1, 1)
            self.register_buffer(name, values, persistent=False)

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 B×C×H×W -> float B×3×H×W as the weights expect it."""
        return (images.expand(-1, 3, -1, -1) / 255 - self.mean) / self.std

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.backbone(self.normalise(images)))
        return logits


def make_head(features: int, classes: int, dropout: float, head: Head) -> nn.Sequential:
    """B×F -> B×K. Dropout and a linear layer; before them, for each hidden width: dropout, linear, norm, activation."""
    layers: list[nn.Module] = []
    for width in head.hidden:
        layers += [nn.Dropout(dropout), nn.Linear(features, width)]
        layers += [nn.BatchNorm1d(width)] if head.norm == "batch" else []
        layers += [nn.ReLU() if head.activation == "relu" else nn.GELU()]
        features = width
    return nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(features, classes))


def create(architecture: Architecture, classes: int) -> Classifier:
    """With random weights, from torch's current seed. Channels last: the layout images have, and the faster one."""
    model = Classifier(build(architecture), classes, architecture.dropout, architecture.head)
    return model.to(memory_format=torch.channels_last)


def save(model: Classifier, recipe: Recipe, folder: Path) -> None:
    """models/<key>: the weights, then the recipe with their checksum."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / WEIGHTS
    tensors = {name: t.contiguous().cpu() for name, t in model.state_dict().items()}
    with atomic(path) as partial:
        partial.write_bytes(to_bytes(tensors))
    recipe.model_copy(update={"weights_sha256": sha256(path)}).write(folder)


def load(folder: Path) -> tuple[Classifier, Recipe]:
    """The model as trained, in eval mode on the CPU.

    Raises:
        UserError: a file is missing or damaged, or the weights are not those the recipe speaks of.
    """
    recipe = Recipe.read(folder)
    path = folder / WEIGHTS
    remedy = f"Run `dvc repro -f train@{recipe.key}`."
    if not path.exists():
        raise UserError(f"{path}: missing. {remedy}")
    if sha256(path) != recipe.weights_sha256:
        raise UserError(f"{path}: not the weights that {folder}/recipe.json speaks of (checksum differs). {remedy}")
    model = create(recipe.architecture, len(recipe.classes))
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise UserError(f"{path}: does not fit {recipe.architecture.name} ({error}). {remedy}") from None
    return model.eval(), recipe


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def batches(rows: np.ndarray, size: int = 64) -> list[np.ndarray]:
    """`rows` cut into index arrays of at most `size`."""
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def as_tensor(images: np.ndarray) -> torch.Tensor:
    """uint8 B×H×W×C -> uint8 B×C×H×W."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)


def best_device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


@torch.inference_mode()
def probabilities(model: Classifier, images: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """float64 n×K, each row sums to 1, for `rows` (default all) of uint8 images N×H×W×C."""
    device = best_device()
    model = model.eval().to(device)
    rows = np.arange(len(images)) if rows is None else rows
    chunks = batches(rows)
    shown = progress(chunks, desc="predict", unit="batch", disable=len(chunks) < 8, leave=False)
    found = [torch.softmax(model(as_tensor(images[chunk]).to(device)).double(), dim=1).cpu().numpy() for chunk in shown]
    return np.concatenate(found) if found else np.empty((0, model.head[-1].out_features))
