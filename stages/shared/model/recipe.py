"""recipe.json: all that is needed to predict with models/<key>/weights.safetensors, and where it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from ..arrays.preprocessing import PreprocessSpec
from ..core.errors import UserError
from ..core.files import read_json, write_json
from ..core.matrix import repro
from ..core.settings import Settings
from .memories.settings import MemorySettings

WEIGHTS = "weights.safetensors"


class Head(Settings):
    """From features to logits: a linear layer, or hidden layers before it."""

    hidden: list[Annotated[int, Field(ge=1)]] = []
    """Width of each hidden layer; none: the features go straight into the last linear layer."""
    norm: Literal["none", "batch"] = "none"
    """BatchNorm behind each hidden layer, before its activation."""
    activation: Literal["relu", "gelu"] = "relu"
    """Of the hidden layers."""


class Decoder(Settings):
    """Of a U-Net: from the backbone's pyramid of maps to one map of the image's size."""

    channels: list[Annotated[int, Field(ge=1)]] | None = None
    """Of each of its steps, coarsest first, one for each resolution of the backbone; null: 16 in the finest, and twice
    as many in each coarser one, as usual."""
    attention: Literal["none", "scse"] = "none"
    """scse: squeeze and excitation over channels and over cells (Roy et al. 2018)."""


class Reconstruction(Settings):
    """Of an autoencoder: from the backbone's last map, through a bottleneck, back to the image."""

    latent: Annotated[int, Field(ge=1)] = 16
    """Numbers that an image is reduced to. It decides: with too many, anomalies are drawn as well as anything else."""
    channels: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = [128, 64, 32, 16]
    """Of each step that draws the image, coarsest first; each step doubles the resolution."""


class Architecture(Settings):
    """The network, without its weights."""

    source: Literal["lightbox", "torchvision", "timm"]
    """Who defines the backbone."""
    name: str
    """Its name there; for timm with the tag of its weights behind a dot, where one was chosen: it decides the
    normalisation."""
    dropout: float = 0.0
    """Share of the numbers dropped before each linear layer of the head, while training."""
    head: Head = Head()
    """Layers of the head that classifies."""
    decoder: Decoder = Decoder()
    """The head that segments."""
    reconstruction: Reconstruction = Reconstruction()
    """The head that draws the image again."""
    memory: MemorySettings | None = None
    """The head that remembers normal images; null: none."""


class Decision(Settings):
    """From the probabilities of a segmentation to its mask (decision.py), chosen on the validation images."""

    level: int
    """A pixel belongs to a structure where 1 - p(background) reaches this many 255ths."""
    kept: tuple[int, ...]
    """For each structure, how many of its largest components stay; 0: all."""


class Recipe(Settings):
    """After training, facts about a model come from here, never from params.yaml."""

    format: Literal[1] = 1
    key: str
    task: str = "classification"
    """What it was trained for; recipes from before there was a choice lack it."""
    architecture: Architecture
    classes: list[str]
    """In the order of the model's outputs. In a binary problem the last one is the positive one. Of a segmentation:
    background, then the structures."""
    size: tuple[int, int]
    """Height and width of the input, pixels."""
    preprocess: PreprocessSpec
    """From a file's bytes to the model's uint8 input."""
    params: dict[str, Any]
    """The resolved params of the training."""
    data: str
    """Fingerprint of the arrays it was trained on."""
    start: str | None = None
    """The weights it started from; an alias of the registry as the version it stood for. null: random ones."""
    best_epoch: int
    decision: Decision | None = None
    """null: there is nothing to choose."""
    weights_sha256: str
    onnx_sha256: str | None = None
    """Of the exported network, in an export's own recipe (`python -m stages export`). null: it was not exported."""

    def write(self, folder: Path) -> None:
        write_json(folder / "recipe.json", self.model_dump(mode="json"))

    @classmethod
    def read(cls, folder: Path) -> Recipe:
        """Raises UserError when the folder holds no recipe this version can read."""
        try:
            return cls.model_validate(read_json(folder / "recipe.json"))
        except FileNotFoundError:
            raise UserError(f"{folder}/recipe.json: missing. Run {repro('train', folder.name)}.") from None
        except (ValidationError, ValueError) as error:
            raise UserError(
                f"{folder}/recipe.json: not a recipe of this version ({error}). "
                f"Run {repro('train', folder.name, force=True)}."
            ) from None
