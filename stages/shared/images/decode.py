"""Bytes of an image file -> an 8-bit grey or RGB image, the same way in every stage and in the model server.

Legend: H, W height and width in pixels; C channels, 1 (grey) or 3 (RGB).
"""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..core.errors import UserError
from .kinds import is_dicom

MAX_PIXELS = 89_478_485  # Pillow's own threshold for a decompression bomb: 256 MiB of RGB
_DEEP = ("I", "F")  # what Pillow calls 32-bit integers (and, as "I;16…", 16-bit ones) and floats


class UnreadableImage(UserError):
    """A file that cannot be decoded. `name` is the file, `reason` says why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)  # both, so that it can be sent from a worker process
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.name}: unreadable image: {self.reason}."


def decode(data: bytes, name: str) -> Image.Image:
    """The first frame, upright, as Pillow mode L or RGB; `info["source_mode"]` keeps the mode of the file.

    EXIF rotation is applied, transparency is laid on black, CMYK and palettes become RGB (a grey palette: L).
    Deep images (16-bit, 32-bit, float, DICOM) are scaled from their own minimum and maximum to 0…255:
    detectors fill 10, 12 or 14 of the 16 bits and files do not say which, so a fixed divisor would leave most
    films black.

    Raises:
        UnreadableImage: empty, truncated, not an image, too large, or in an encoding that cannot be read.
    """
    if not data:
        raise UnreadableImage(name, "the file is empty (0 bytes)")
    try:
        if is_dicom(data) or name.lower().endswith((".dcm", ".dicom")):
            return _from_dicom(data, name)
        return _from_pillow(data, name)
    except (UnreadableImage, MemoryError):
        raise
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        reason = "not an image, or damaged at its start" if isinstance(error, UnidentifiedImageError) else str(error)
        raise UnreadableImage(name, reason) from error
    except Exception as error:  # decoders raise nearly anything on damaged bytes, and nothing else can fail here
        raise UnreadableImage(name, f"damaged ({str(error).strip('.') or type(error).__name__})") from error


def to_array(image: Image.Image, mode: Literal["grey", "rgb"]) -> np.ndarray:
    """uint8, H×W×1 for "grey" (ITU-R 601 luma), H×W×3 for "rgb"."""
    array = np.array(image.convert("L" if mode == "grey" else "RGB"))
    return array[..., None] if mode == "grey" else array


def _from_pillow(data: bytes, name: str) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        _refuse_bomb(name, *image.size)
        source_mode = image.mode
        plain = _flatten(ImageOps.exif_transpose(image))
    plain.info = {"source_mode": source_mode}
    return plain


def _flatten(image: Image.Image) -> Image.Image:
    """Any Pillow mode -> L or RGB."""
    if image.mode.startswith(_DEEP):
        return Image.fromarray(_stretch(np.asarray(image)))
    grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA"))
    elif image.mode == "P":
        red, green, blue = (np.asarray(band) for band in image.convert("RGB").split())
        grey = bool((red == green).all() and (green == blue).all())
    return image.convert("L" if grey else "RGB")


def _stretch(values: np.ndarray) -> np.ndarray:
    """Any numbers, H×W -> uint8, minimum to 0 and maximum to 255; NaN, infinity and a constant become 0."""
    values = values.astype(np.float64)
    finite = np.isfinite(values)
    low, high = values.min(where=finite, initial=np.inf), values.max(where=finite, initial=-np.inf)
    if not high > low:
        return np.zeros(values.shape, np.uint8)
    scaled = (np.where(finite, values, low) - low) * (255 / (high - low))
    return np.asarray(np.rint(scaled), np.uint8)


def _refuse_bomb(name: str, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UnreadableImage(name, f"{width}×{height} pixels, more than the {MAX_PIXELS:,} that are read")


def _from_dicom(data: bytes, name: str) -> Image.Image:
    """The first frame. Rescale slope and intercept, the window (VOI LUT), MONOCHROME1 turned so that bone is white."""
    import pydicom
    from pydicom.errors import InvalidDicomError
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
    from pydicom.pixels.utils import pixel_array

    try:
        dataset = pydicom.dcmread(io.BytesIO(data))
    except InvalidDicomError as error:
        raise UnreadableImage(name, "named as DICOM but without DICOM's header") from error
    if "PixelData" not in dataset:
        raise UnreadableImage(name, "DICOM without pixel data (a report or a structured object)")
    _refuse_bomb(name, int(dataset.Columns), int(dataset.Rows))
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        pixels = pixel_array(dataset, index=0)  # H×W, or H×W×3 with YBR turned into RGB
    except Exception as error:
        if not syntax.is_compressed:
            raise
        reason = f"DICOM compressed as {syntax.name}; write it uncompressed, e.g. with `gdcmconv --raw`, or as PNG"
        raise UnreadableImage(name, reason) from error
    kind = str(dataset.PhotometricInterpretation)
    if kind == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset)
    if pixels.ndim == 3:
        levels = pixels if pixels.dtype == np.uint8 else _stretch(pixels)
    else:
        levels = _stretch(apply_voi_lut(apply_modality_lut(pixels, dataset), dataset))
    image = Image.fromarray(255 - levels if kind == "MONOCHROME1" else levels)
    image.info = {"source_mode": f"DICOM {kind}"}
    return image
