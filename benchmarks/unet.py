"""U-Net training beside the usual way: segmentation_models_pytorch with a torchvision-style loop, on the same pairs.

    python benchmarks/unet.py FOLDER --backbone resnet18 --size 128 --epochs 3

FOLDER has images/ and masks/ with files of the same name. Both train the same network (an encoder of that name with
smp's U-Net decoder, random weights) with the same batches of the same size, loss, optimiser and augmentation, one after
the other in one process each epoch, alternately. The usual way decodes and resizes every file in every epoch, as a
Dataset does. Printed: images per second of each, and the ratio.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import albumentations as A
import cv2
import numpy as np
import segmentation_models_pytorch as smp
import torch
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).parents[1]))

from stages.shared.model.recipe import Architecture
from stages.shared.tasks.models import create
from stages.shared.tasks.segmentation import make_loss
from stages.train.batches import EpochSampler, Images
from stages.train.params.recipe import DiceCrossEntropy

AUGMENT = [{"HorizontalFlip": {"p": 0.5}}, {"Affine": {"rotate": [-10, 10], "scale": [0.95, 1.05], "p": 0.7}}]


class Files(Dataset):
    """The usual way: each image and mask is decoded and resized whenever it is shown."""

    def __init__(self, pairs: list[tuple[Path, Path]], size: int) -> None:
        self.pairs = pairs
        self.steps = A.Compose(
            [A.Resize(size, size), A.HorizontalFlip(p=0.5), A.Affine(rotate=(-10, 10), scale=(0.95, 1.05), p=0.7)]
        )

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        image, mask = (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in self.pairs[i])
        mask = cv2.resize(mask, image.shape[::-1], interpolation=cv2.INTER_NEAREST)
        done = self.steps(image=np.repeat(image[..., None], 3, axis=2), mask=(mask > 127).astype(np.uint8))
        image = torch.from_numpy(done["image"]).permute(2, 0, 1).float() / 255
        return (image - 0.45) / 0.225, torch.from_numpy(done["mask"]).long()


class Ours:
    """Arrays that were decoded once, as preprocess leaves them."""

    def __init__(self, pairs: list[tuple[Path, Path]], size: int) -> None:
        read = [[cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in pair] for pair in pairs]
        self.images = np.stack([cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image, _ in read])[
            ..., None
        ]
        self.masks = np.stack(
            [cv2.resize(mask, (size, size), interpolation=cv2.INTER_NEAREST) > 127 for _, mask in read]
        )


def usual_epoch(model: torch.nn.Module, loader: DataLoader, losses: tuple, optimiser: torch.optim.Optimizer) -> float:
    start = time.perf_counter()
    model.train()
    for images, masks in loader:
        optimiser.zero_grad()
        logits = model(images)
        sum(loss(logits, masks) for loss in losses).backward()
        optimiser.step()
    return time.perf_counter() - start


def our_epoch(
    model: torch.nn.Module,
    source: Images,
    sampler: EpochSampler,
    loss: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
) -> float:
    start = time.perf_counter()
    model.train()
    for items, _ in sampler:
        (images,), masks = source.read(items)
        optimiser.zero_grad()
        loss(model(images), masks).mean().backward()
        optimiser.step()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backbone", default="resnet18", help="of torchvision, and of smp under the same name")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    masks = {path.stem: path for path in (options.folder / "masks").iterdir()}
    images = sorted(path for path in (options.folder / "images").iterdir() if path.stem in masks)
    pairs = [(path, masks[path.stem]) for path in images]
    rows = np.arange(len(pairs))

    usual = smp.Unet(options.backbone, encoder_weights=None, classes=2)
    loader = DataLoader(Files(pairs, options.size), options.batch, shuffle=True)
    losses = (torch.nn.CrossEntropyLoss(), smp.losses.DiceLoss("multiclass", classes=[1]))
    arrays = Ours(pairs, options.size)
    ours = create("segmentation", Architecture(source="torchvision", name=options.backbone), 2)
    source = Images(arrays, arrays.masks.astype(np.uint8), 0, AUGMENT)  # type: ignore[arg-type]
    sampler = EpochSampler(rows, options.batch, 1, seed=0)
    loss = make_loss(DiceCrossEntropy(), torch.ones(2))
    optimisers = [torch.optim.Adam(model.parameters(), 1e-3) for model in (usual, ours)]
    seconds: list[list[float]] = [[], []]
    for epoch in range(options.epochs + 1):
        sampler.set_epoch(epoch)
        seconds[0].append(usual_epoch(usual, loader, losses, optimisers[0]))
        seconds[1].append(our_epoch(ours, source, sampler, loss, optimisers[1]))
    speeds = [len(pairs) / float(np.median(each[1:])) for each in seconds]  # the first epoch warms up
    print(f"usual way  {speeds[0]:6.1f} images/s")
    print(f"lightbox   {speeds[1]:6.1f} images/s, ratio {speeds[1] / speeds[0]:.2f}")


if __name__ == "__main__":
    main()
