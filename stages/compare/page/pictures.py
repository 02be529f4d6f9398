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
    image = image.convert("L" if image.mode == "L" else "RGB")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82, optimize=True)
    return "data:image/jpeg;base64," + b64encode(buffer.getvalue()).decode()


def overlay(image: Image.Image, heat: Image.Image) -> Image.Image:
    """`image` under its heat map (grey, 0 to 255). Where the map is cold the image stays as it is."""
    strength = np.asarray(heat.convert("L").resize(image.size, Image.Resampling.BILINEAR))
    colour = (255 * colormaps[HEAT](strength)[..., :3]).round()
    share = 0.6 * strength[..., None] / 255
    return Image.fromarray((colour * share + np.asarray(image.convert("RGB")) * (1 - share)).round().astype(np.uint8))


def read(path: Path, stage: str = "") -> Image.Image:
    """A PNG that `stage` wrote; by default explain, of one model. Raises UserError when it is missing or damaged."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return image.copy()
    except OSError as error:
        remedy = f"Make it again with `dvc repro -f {stage or f'explain@{path.parts[2]}'}`."
        raise UserError(f"{path}: not readable ({error}). {remedy}") from None
