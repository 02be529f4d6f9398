"""Small archives with known content, made with Pillow."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from stages.shared.core.paths import RAW
from stages.shared.images.archive import write_archive


def film(seed: int, size: tuple[int, int] = (72, 64)) -> np.ndarray:
    """uint8 H×W: smooth, of full contrast, unlike that of any other seed."""
    noise = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 5), None, 10, 240, cv2.NORM_MINMAX).astype(np.uint8)


def encode(array: np.ndarray, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, form, **options)
    return buffer.getvalue()


@pytest.fixture
def make_film() -> Callable[..., np.ndarray]:
    return film


@pytest.fixture
def make_bytes() -> Callable[..., bytes]:
    return encode


@pytest.fixture
def films() -> dict[str, bytes]:
    """12 patients of two images each, six normal and six with pneumonia; lung masks; nothing wrong."""
    members: dict[str, bytes] = {}
    for patient in range(12):
        folder, finding = ("NORMAL", "normal") if patient < 6 else ("PNEUMONIA", "haze")
        for number in (1, 2):
            name = f"patient{patient:04d}_{finding}_{number}.png"
            members[f"images/{folder}/{name}"] = encode(film(10 * patient + number))
            members[f"masks/lung/{name}"] = encode(np.where(film(500 + patient) > 120, 255, 0).astype(np.uint8))
    return members


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "expectations.yaml").write_text("[]\n")
    return tmp_path


@pytest.fixture
def pack(workplace: Path) -> Callable[[dict[str, bytes]], None]:
    return lambda members: write_archive(RAW, sorted(members.items())) and None
