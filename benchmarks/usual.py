"""(a) The usual way: torchvision's ImageFolder, every image decoded, equalised and resized in every epoch, a plain loop
in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchvision import models, transforms
from torchvision.datasets import ImageFolder

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class CLAHE:
    """Contrast-limited adaptive histogram equalisation of a grey PIL image, as in the preprocess stage."""

    def __call__(self, image: Image.Image) -> Image.Image:
        import cv2

        return Image.fromarray(cv2.createCLAHE(2.0, (8, 8)).apply(np.array(image)))


class ThreeChannels:
    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        return image.expand(3, -1, -1)


def steps(size: int, flip: bool) -> transforms.Compose:
    return transforms.Compose(
        [
            transforms.Grayscale(),
            CLAHE(),
            transforms.Resize((size, size)),
            *([transforms.RandomHorizontalFlip()] if flip else []),
            transforms.ToTensor(),
            ThreeChannels(),
            transforms.Normalize(MEAN, STD),
        ]
    )


def loader(part: str, job: dict[str, Any]) -> DataLoader[Any]:
    training = part == "train"
    images = ImageFolder(str(Path("files") / part), steps(job["size"], flip=training and job["flip"]))
    return DataLoader(
        images,
        job["batch_size"],
        shuffle=training,
        num_workers=job["workers"],
        persistent_workers=job["workers"] > 0,
        pin_memory=torch.cuda.is_available(),
    )


def network(job: dict[str, Any], classes: int) -> nn.Module:
    """With a new last layer; but for that frozen, in feature_extraction."""
    from safetensors.torch import load_file

    model = models.get_model(job["network"], weights=None)
    model.load_state_dict(load_file(f"weights/{job['network']}.safetensors"))
    model.requires_grad_(job["strategy"] == "fine_tune")
    name, last = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear)][-1]
    owner, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(owner), attribute, nn.Linear(last.in_features, classes))
    return model


def train(job: dict[str, Any]) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    training, validation = loader("train", job), loader("val", job)
    model = network(job, len(training.dataset.classes)).to(device)  # type: ignore[attr-defined]
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    for _ in range(job["epochs"]):
        model.train(job["strategy"] == "fine_tune")
        for images, targets in training:
            optimiser.zero_grad()
            logits = model(images.to(device, non_blocking=True))
            nn.functional.cross_entropy(logits, targets.to(device, non_blocking=True)).backward()
            optimiser.step()
        model.eval()
        right = 0
        with torch.no_grad():
            for images, targets in validation:
                right += int((model(images.to(device)).argmax(1).cpu() == targets).sum())
