"""(b) fastai, from its package: its own loaders, transforms, learner and head, on the same files.

No CLAHE (fastai has none), so it has less to do an image. In feature_extraction `train_bn=False`: by default fastai
goes on training the BatchNorm layers of a frozen body, which takes a backward pass through all of it."""

from __future__ import annotations

import warnings
from typing import Any

warnings.filterwarnings("ignore", category=FutureWarning)  # torch.jit.script, when fastai is imported
warnings.filterwarnings("ignore", category=DeprecationWarning)


def train(job: dict[str, Any]) -> None:
    import torch
    import torchvision
    from fastai.vision.all import (
        Flip,
        ImageDataLoaders,
        Normalize,
        Resize,
        ResizeMethod,
        accuracy,
        imagenet_stats,
        vision_learner,
    )

    torch.manual_seed(0)
    data = ImageDataLoaders.from_folder(
        "files",
        train="train",
        valid="val",
        bs=job["batch_size"],
        num_workers=job["workers"],
        drop_last=False,
        item_tfms=Resize(job["size"], method=ResizeMethod.Squish),
        batch_tfms=[*([Flip()] if job["flip"] else []), Normalize.from_stats(*imagenet_stats)],
    )
    architecture = getattr(torchvision.models, job["network"])
    learner = vision_learner(data, architecture, pretrained=False, train_bn=False, metrics=accuracy)
    learner.unfreeze() if job["strategy"] == "fine_tune" else learner.freeze()
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(job["epochs"], 1e-3)
