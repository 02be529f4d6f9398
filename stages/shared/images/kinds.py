"""Which files count as images, as tables, and which are clutter: one rule for everything that takes files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jp2", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp"}
    | {".pgm", ".ppm", ".pnm", ".pbm", ".dcm", ".dicom"}
)
FORMATS = ("PNG", "JPEG", "JPEG2000", "BMP", "DIB", "GIF", "TIFF", "WEBP", "PPM")
"""What Pillow may decode, whatever a file's name says. Others are refused: for EPS it would start Ghostscript."""
TABLES = (".csv", ".parquet")
CLUTTER = frozenset({"thumbs.db", "desktop.ini", "readme", "readme.md", "readme.txt"})


def is_image(name: str, read: Callable[[], bytes]) -> bool:
    """By its suffix, in any case. A file without one is an image if it is DICOM: `read` gives its bytes, and is called
    for such files only."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix in SUFFIXES or (not suffix and is_dicom(read()))


def is_dicom(data: bytes) -> bool:
    """DICOM says so itself, behind a preamble of 128 bytes."""
    return data[128:132] == b"DICM"


def is_table(name: str) -> bool:
    """A table that may give the labels of the images."""
    return name.lower().endswith(TABLES)


def is_clutter(name: str) -> bool:
    """Hidden files, what operating systems leave behind, and a README that explains a folder."""
    parts = [part for part in name.split("/") if part not in ("", ".")]  # as PurePosixPath does, which takes longer
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return hidden or not parts or parts[-1].lower() in CLUTTER
