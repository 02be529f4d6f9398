"""How large an image is, read before it is decoded: a few kilobytes may stand for gigabytes of pixels."""

from __future__ import annotations

import io
import zlib

from PIL import Image

from ..shared.images.decode import UnreadableImage
from ..shared.images.kinds import FORMATS, is_dicom

DEFLATED = b"1.2.840.10008.1.2.1.99"  # DICOM whose whole data set is compressed
LONG = (b"OB", b"OD", b"OF", b"OL", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT")  # kinds of DICOM elements
SAMPLES = 8  # bytes of a pixel, at most: 3 channels of 16 bits, rounded up
CHUNK = 2**20


class TooLarge(UnreadableImage):
    """More pixels than the server reads."""


def check(data: bytes, name: str, most: int) -> None:
    """most: pixels. What cannot be read at all is left to the decoder, which says why.

    Raises:
        TooLarge: it has more, as its header says.
    """
    try:
        width, height = _of_dicom(data, name, most) if is_dicom(data) else _of_image(data)
    except TooLarge:
        raise
    except Image.DecompressionBombError as error:
        raise TooLarge(name, str(error).rstrip(".")) from error
    except Exception:  # damaged, or no image: decoders raise nearly anything, and the next one will say so
        return
    if width * height > most:
        raise TooLarge(name, f"{width}×{height} pixels, more than the {most:,} that this server reads")


def _of_image(data: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return image.size


def _of_dicom(data: bytes, name: str, most: int) -> tuple[int, int]:
    import pydicom

    start = _data_set(data)
    if DEFLATED in data[:start]:
        _inflate(data[start:], name, SAMPLES * most)
    dataset = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, specific_tags=["Rows", "Columns"])
    return int(dataset.Columns), int(dataset.Rows)


def _data_set(data: bytes) -> int:
    """Where the data set of a DICOM file begins: behind the elements of group 2, which are never compressed."""
    at = 132
    while data[at : at + 2] == b"\x02\x00":
        if data[at + 4 : at + 6] in LONG:
            at += 12 + int.from_bytes(data[at + 8 : at + 12], "little")
        else:
            at += 8 + int.from_bytes(data[at + 6 : at + 8], "little")
    return at


def _inflate(data: bytes, name: str, most: int) -> None:
    """pydicom inflates all of such a file at once, however much that is; most: bytes."""
    inflater, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while data and not inflater.eof:
        size += len(inflater.decompress(data, CHUNK))
        data = inflater.unconsumed_tail
        if size > most:
            raise TooLarge(name, f"deflated DICOM of more than {most / 2**20:,.0f} MiB")
