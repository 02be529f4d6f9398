"""Manifests with planted patients and duplicates; archives to go with them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stages.shared.core.paths import MANIFEST, RAW
from stages.shared.images.archive import write_archive


def random_manifest(seed: int, classes: int = 2, patients: int = 120) -> pd.DataFrame:
    """Patients of 1 to 30 images, most of them few; some with several labels; copies within and across patients."""
    rng = np.random.default_rng(seed)
    sizes = np.minimum(rng.geometric(0.35, patients), 30)
    sizes[rng.integers(0, patients, 3)] = 30
    patient = np.repeat(np.arange(patients), sizes)
    usual = rng.choice(classes, patients, p=np.arange(classes, 0, -1) / sum(range(classes + 1)))
    label = np.where(rng.random(len(patient)) < 0.97, usual[patient], rng.integers(0, classes, len(patient)))
    cluster = np.arange(len(patient))
    for _ in range(len(patient) // 20):
        one, other = rng.integers(0, len(patient), 2)
        cluster[cluster == cluster[other]] = cluster[one]
    names = [f"class{c}" for c in range(classes)]
    return pd.DataFrame({
        "path": [f"images/{i:05d}.png" for i in range(len(patient))],
        "label": pd.Categorical.from_codes(label, names),
        "patient": [f"p{p:03d}" for p in patient],
        "site": pd.array([None] * len(patient), dtype="str"),
        "has_mask": False,
        "masks": [[] for _ in patient],
        "provided_split": pd.array([None] * len(patient), dtype="str"),
        "cluster": cluster,
        "sha256": [f"{i:064x}" for i in range(len(patient))],
        "quarantined": False,
    })  # fmt: skip


def film(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((48, 40)).astype(np.float32)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 4), None, 10, 240, cv2.NORM_MINMAX).astype(np.uint8)


def encode(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def make_manifest() -> Callable[..., pd.DataFrame]:
    return random_manifest


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def validated(workplace: Path) -> Callable[[pd.DataFrame], dict[str, bytes]]:
    """Write a manifest and an archive that fits it; returns the archive's members."""

    def write(manifest: pd.DataFrame) -> dict[str, bytes]:
        members = {path: encode(film(i)) for i, path in enumerate(manifest["path"])}
        for i, masks in enumerate(manifest["masks"]):
            members |= {mask["path"]: encode(np.where(film(i) > 120, 255, 0).astype(np.uint8)) for mask in masks}
        write_archive(RAW, sorted(members.items()))
        manifest.to_parquet(MANIFEST, index=False)
        return members

    return write
