"""The images of a benchmark: the real download, validate and preprocess stages in a folder of their own, and the same
files laid out in class folders for the two contenders that read files."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

# Under the benchmark's folder
FILES = Path("files")  # train|val / class / file, as torchvision's ImageFolder wants them
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}


def prepare(images: str | None, count: int, size: int, film: int) -> dict[str, Any]:
    """data/processed and files/ in the working directory.

    Args:
        images: a folder of class folders; None: synthetic films of `film` pixels, made here.
        count: about so many images, test images not counted.
        size: pixels of the arrays.
    """
    from stages import download, preprocess, validate
    from stages.shared.arrays.arrays import load_arrays
    from stages.shared.core.job import Job
    from stages.shared.core.paths import RAW
    from stages.shared.images.archive import Archive

    total = round(count / 0.9)  # a tenth is test, which nobody sees here
    source, classes = chosen(images, total, film)
    seconds = {}
    for stage, params in (
        (download, source),
        (validate, {"classes": classes, "ignore": ["masks/**", "phantom.json"], "on_failure": "quarantine"}),
        (preprocess, {"size": size, "split": {"test": 0.1, "folds": 5}}),  # grey, CLAHE
    ):
        start = time.perf_counter()
        stage.run(stage.Params.model_validate(params), Job())
        seconds[stage.__name__.rpartition(".")[2]] = time.perf_counter() - start
    arrays = load_arrays()
    archive = Archive(RAW)
    for row in arrays.index.itertuples():
        if row.split != "test":
            target = FILES / row.split / str(row.label) / row.path.replace("/", "_")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(row.path))
    counts = arrays.index["split"].value_counts()
    return {
        "seconds": seconds,
        "train": int(counts["train"]),
        "val": int(counts["val"]),
        "prepared": len(arrays.index),
        "classes": arrays.classes,
    }


def chosen(images: str | None, total: int, film: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of the download stage, and the classes."""
    if images is None:
        kinds = ("exact_duplicates", "near_duplicates", "truncated", "blank", "conflicting_patients", "crops")
        faults = dict.fromkeys(kinds, 0)
        phantom = {"patients": max(total, 24), "images_per_patient": [1, 1], "size": film, "faults": faults}
        classes = {"normal": "images/NORMAL/*", "pneumonia": "images/PNEUMONIA/*"}
        return {"source": "phantom", "phantom": phantom}, classes
    folder = Path("picked")
    names = pick(Path(images), folder, total)
    download = {"source": "folder", "privacy": "keep", "folder": {"path": str(folder.resolve())}}
    return download, {n: f"**/{n}/*" for n in names}


def pick(images: Path, folder: Path, total: int) -> list[str]:
    """Copy about `total` of the images, the same number of each class, spread over the sorted names."""
    classes = sorted(p for p in images.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(classes) < 2:
        raise SystemExit(f"error: {images}: expected at least two folders of images, one a class; found {len(classes)}")
    for source in classes:
        files = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES)
        wanted = min(len(files), max(1, round(total / len(classes))))
        (folder / "set" / source.name).mkdir(parents=True)
        for i in range(wanted):
            file = files[i * len(files) // wanted]
            shutil.copyfile(file, folder / "set" / source.name / file.name)
    return [p.name for p in classes]


def random_weights(network: str) -> None:
    """weights/<network>.safetensors, as torchvision initialises it. Speed does not depend on the values."""
    import torch
    from safetensors.torch import save_file
    from torchvision import models

    torch.manual_seed(0)
    path = Path("weights") / f"{network}.safetensors"
    path.parent.mkdir(exist_ok=True)
    save_file(models.get_model(network, weights=None).state_dict(), path)


def sparse(rows: int, size: int) -> None:
    """data/processed with so many black images in a file that takes no room on the disk."""
    import numpy as np
    import pandas as pd

    from stages.shared.core.files import write_json
    from stages.shared.core.paths import PROCESSED

    PROCESSED.mkdir(parents=True)
    np.lib.format.open_memmap(PROCESSED / "images.npy", "w+", np.uint8, (rows, size, size, 1))
    at = np.arange(rows)
    index = pd.DataFrame({"path": [f"images/{i:07d}.png" for i in at], "patient": [f"p{i:07d}" for i in at]})
    index["label"] = pd.Categorical(np.where(at % 2, "sick", "normal"), categories=["normal", "sick"])
    index["group"] = at
    index["fold"] = at // 2 % 5
    index["split"] = np.where(index["fold"] == 0, "val", "train")
    index.to_parquet(PROCESSED / "index.parquet", index=False)
    spec = {"mode": "grey", "size": size, "steps": [], "keep_aspect": False}
    facts = {"classes": ["normal", "sick"], "structures": [], "size": [size, size], "channels": 1, "preprocess": spec}
    write_json(PROCESSED / "meta.json", {**facts, "fingerprint": f"black-{rows}-{size}"})
