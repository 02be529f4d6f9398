"""Images for the page: small, and carried inside it."""

from __future__ import annotations

import io
from base64 import b64encode
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from PIL import Image

from ...shared.core.errors import UserError
from ...shared.figures.style import HEAT

SIDE = 168  # pixels of the longer side: twice the size at which the page shows an image, for dense screens


def data_uri(image: Image.Image, side: int = SIDE) -> str:
    """A JPEG of at most `side` pixels, as text."""
    image = image.convert("RGB" if image.mode not in ("L", "RGB") else image.mode)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82, optimize=True)
    return "data:image/jpeg;base64," + b64encode(buffer.getvalue()).decode()


def array_uri(pixels: np.ndarray) -> str:
    """`pixels`: (H, W, 1 or 3) uint8."""
    return data_uri(Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)))


def case_uris(film: Path, heat: Path) -> tuple[str, str]:
    """The film, and the film under its heat map (a grey image, 0 to 255)."""
    below, above = read(film), read(heat)
    return data_uri(below), data_uri(overlay(below, above))


def overlay(film: Image.Image, heat: Image.Image) -> Image.Image:
    """Where the map is cold the film stays as it is."""
    strength = np.asarray(heat.convert("L").resize(film.size, Image.Resampling.BILINEAR))
    colour = (255 * colormaps[HEAT](strength)[..., :3]).round()
    share = 0.6 * strength[..., None] / 255
    return Image.fromarray((colour * share + np.asarray(film.convert("RGB")) * (1 - share)).round().astype(np.uint8))


def read(path: Path) -> Image.Image:
    """Raises UserError when the image is missing or damaged."""
    try:
        with Image.open(path) as image:
            return image.copy()
    except OSError as error:
        raise UserError(
            f"{path}: not readable ({error}). Make it again with `dvc repro -f explain@{path.parts[2]}`."
        ) from None
