"""Bytes of an image file -> an 8-bit grey or RGB image, the same way in every stage and in the model server.

Legend: H, W height and width in pixels; C channels, 1 (grey) or 3 (RGB).
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..core.errors import UserError
from .frames import lift
from .kinds import FORMATS, is_dicom

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

MAX_PIXELS = 89_478_485  # Pillow's own threshold for a decompression bomb: 256 MiB of RGB
_DEEP = ("I", "F")  # what Pillow calls 32-bit integers (and, as "I;16…", 16-bit ones) and floats
REQUIRED = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation")


class UnreadableImage(UserError):
    """A file that cannot be decoded. `name` is the file, `reason` says why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)  # both, so that it can be sent from a worker process
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.name}: unreadable image: {self.reason}."


def decode(data: bytes, name: str) -> Image.Image:
    """The first frame, upright, as Pillow mode L or RGB; `info["source_mode"]` keeps the mode of the file, and
    `info["quantisation"]` of a JPEG the mean of its luminance table: the larger, the lower the quality.

    EXIF rotation is applied, transparency is laid on black, CMYK and palettes become RGB (a grey palette: L).
    Deep images (16-bit, 32-bit, float) are scaled from their own range to 0…255 (`_stretch`): detectors fill 10, 12 or
    14 of the 16 bits and files do not say which, so a fixed divisor would leave most films black. DICOM is shown
    through its window where it has one (`_grey_levels`).

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
        by_pillow = isinstance(error, (OSError, SyntaxError)) and str(error)  # other texts are Python's own
        raise UnreadableImage(name, f"damaged ({str(error).strip('.')})" if by_pillow else "damaged") from error


def to_array(image: Image.Image, mode: Literal["grey", "rgb"]) -> np.ndarray:
    """uint8, H×W×1 for "grey" (ITU-R 601 luma), H×W×3 for "rgb"."""
    array = np.array(image.convert("L" if mode == "grey" else "RGB"))
    return array[..., None] if mode == "grey" else array


def _from_pillow(data: bytes, name: str) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        _refuse_bomb(name, *image.size)
        info: dict[str | tuple[int, int], object] = {"source_mode": image.mode}
        if tables := getattr(image, "quantization", None):
            info["quantisation"] = float(np.mean(tables[0]))
        plain = _flatten(ImageOps.exif_transpose(image))
    plain.info = info
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
    """Any numbers, of any shape -> uint8: the lowest 0.1% become 0, the highest 0.1% become 255, so that one hot pixel
    does not darken the film. Images of less than 1,000 pixels keep their extremes, and so do images that would be of
    one grey otherwise. NaN, infinity and a constant become 0."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return np.zeros(values.shape, np.uint8)
    low = np.percentile(finite, 0.1, method="lower")
    high = np.percentile(finite, 99.9, method="higher")
    if low == high:
        low, high = finite.min(), finite.max()
    return _scale(values, float(low), float(high))


def _scale(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """uint8: `low` and less become 0, `high` and more become 255; NaN and infinity become 0."""
    values = np.where(np.isfinite(values), values, low).astype(np.float64)
    return np.asarray(np.rint(np.clip((values - low) * (255 / max(high - low, 1e-12)), 0, 255)), np.uint8)


def _refuse_bomb(name: str, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UnreadableImage(name, f"{width}×{height} pixels, more than the {MAX_PIXELS:,} that are read")


def _from_dicom(data: bytes, name: str) -> Image.Image:
    """The first frame, with its own rescale and window."""
    import pydicom
    from pydicom.errors import InvalidDicomError
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    try:
        dataset = pydicom.dcmread(io.BytesIO(data))
    except InvalidDicomError as error:
        raise UnreadableImage(name, "named as DICOM but without DICOM's header") from error
    if "PixelData" not in dataset:
        raise UnreadableImage(name, "DICOM without pixel data (a report or a structured object)")
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    missing = [tag for tag in REQUIRED if dataset.get(tag) is None] + ["TransferSyntaxUID"] * (syntax is None)
    if missing:
        raise UnreadableImage(name, f"DICOM without {', '.join(missing)}, so its pixels cannot be read")
    _refuse_bomb(name, int(dataset.Columns), int(dataset.Rows))
    try:
        pixels = pixel_array(dataset, index=0)  # H×W, or H×W×3 with YBR turned into RGB
    except Exception as error:
        raise UnreadableImage(name, _undecoded(syntax, error)) from error
    lift(dataset, 0)
    kind = str(dataset.PhotometricInterpretation)
    if kind == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset)
    if pixels.ndim == 3:
        image = Image.fromarray(pixels if pixels.dtype == np.uint8 else _stretch(pixels))
    else:
        image = Image.fromarray(_grey_levels(pixels, dataset))
    image.info = {"source_mode": f"DICOM {kind}"}
    return image


def _undecoded(syntax: UID, error: Exception) -> str:
    """Why pixels could not be read, and what to install where a decoder is missing."""
    from pydicom.pixels.decoders.base import get_decoder

    if not syntax.is_encapsulated:
        return f"DICOM with damaged pixels ({str(error).partition(' - ')[0]})"
    remedy = "write it uncompressed, e.g. with `gdcmconv --raw`, or as PNG"
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        return f"DICOM compressed as {syntax.name}, which cannot be read; {remedy}"
    packages = "; ".join(decoder.missing_dependencies)
    if not decoder.is_available:
        install = f"Install one ({packages}), or {remedy}"
        return f"DICOM compressed as {syntax.name}, for which no decoder is installed. {install}"
    others = f"; others are {packages}" if packages else ""
    return f"DICOM compressed as {syntax.name}: damaged, or not for the decoder that is installed{others}. Or {remedy}"


def _grey_levels(pixels: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Stored values, H×W -> uint8: rescaled (modality LUT), then seen through the VOI LUT or the window. MONOCHROME1 is
    turned so that bone is white, and padding is black.

    Without a window, up to 8 bits keep their levels, and more are stretched (`_stretch`), padding left out.
    """
    from pydicom.pixels.processing import apply_modality_lut, apply_voi, apply_windowing

    padding = _padding(pixels, dataset)
    values = apply_modality_lut(pixels, dataset)
    bits = int(dataset.BitsStored)
    table = (dataset.get("VOILUTSequence") or [{}])[0]
    if None not in (table.get("LUTDescriptor"), table.get("LUTData")):
        levels = _scale(apply_voi(values, dataset), 0, 2 ** int(table.LUTDescriptor[2]) - 1)
    elif None not in (dataset.get("WindowCenter"), dataset.get("WindowWidth")):
        with np.errstate(over="ignore"):  # in a sigmoid
            black, white = apply_windowing(np.array([-1e12, 1e12]), dataset)  # as it shows what is outside the window
            levels = _scale(apply_windowing(values, dataset), black, white)
    elif bits <= 8 and dataset.PixelRepresentation == 0:
        levels = _scale(values, *sorted(apply_modality_lut(np.array([0, 2**bits - 1]), dataset)))
    else:
        levels = _stretch(np.where(padding, np.nan, values))
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        levels = 255 - levels
    return np.where(padding, np.uint8(0), levels)


def _padding(pixels: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Where the detector saw nothing, H×W bool: PixelPaddingValue, or all from it to PixelPaddingRangeLimit."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(pixels.shape, bool)
    low, high = sorted((int(value), int(dataset.get("PixelPaddingRangeLimit", value))))
    return np.asarray((pixels >= low) & (pixels <= high))
