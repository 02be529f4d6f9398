"""Images of the study, with their masks, on their way to one model. For tools that ask it about many; reads tables with
pandas."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..arrays.masks import MaskFile, class_numbers, mask_files, structures_of
from ..core.errors import UserError
from ..core.paths import MANIFEST, RAW
from ..images.archive import Archive

if TYPE_CHECKING:
    import numpy as np

    from .export import Export


class UnusableImage(UserError):
    """An image of the study, or its mask, cannot be read or prepared. The message names it, and so perhaps a patient:
    it is for the terminal and the log alone."""


@contextmanager
def unusable() -> Iterator[None]:
    """Errors inside are about one image."""
    try:
        yield
    except UserError as error:
        raise UnusableImage(str(error)) from error


def table_of(path: Path, stage: str, columns: list[str] | None = None) -> pd.DataFrame:
    """Raises UserError when the file is missing or damaged."""
    try:
        return pd.read_parquet(path, columns=columns)
    except FileNotFoundError:
        raise UserError(f"{path}: missing. Run `dvc repro {stage}`.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: damaged ({error}). Run `dvc repro -f {stage}`.") from None


@dataclass(frozen=True)
class Source:
    """Images in data/raw.zip. masks: of each image, by its path; empty where the model does not crop to them."""

    export: Export
    archive: Archive
    masks: Mapping[str, Sequence[MaskFile]]

    @classmethod
    def of(cls, export: Export, paths: Collection[str], which: str) -> Source:
        """`which`: what these images are, in messages.

        Raises:
            UserError: the model needs masks and one of the images has none.
        """
        archive = Archive(RAW)
        if export.preprocessor.crop_to_mask is None:
            return cls(export, archive, {})
        manifest = table_of(MANIFEST, "validate", ["path", "has_mask", "masks"])
        structures = structures_of(manifest)
        own = manifest[manifest["path"].isin(paths)]
        masks = {path: mask_files(files, structures) for path, files in zip(own["path"], own["masks"], strict=True)}
        bare = sum(not files for files in masks.values())
        if bare and export.needs_mask:
            raise UserError(
                f"{export.recipe.key} learned from images that were cropped to a mask (CropToMask), and {bare} of "
                f"{len(paths)} {which} have none, so it cannot be asked about them. Say in validate.mask where masks "
                "lie, or leave these images out with validate.ignore."
            )
        return cls(export, archive, masks)

    def data(self, path: str) -> bytes:
        """The bytes of an image or a mask.

        Raises:
            UnusableImage: it is not in the archive, or damaged.
        """
        with unusable():
            return self.archive.read(path)

    def read(self, path: str) -> tuple[bytes, list[bytes]]:
        """The bytes of an image, and of its masks. Raises as `data`."""
        return self.data(path), self.masks_of(path)

    def masks_of(self, path: str) -> list[bytes]:
        """Of the masks of an image. Raises as `data`."""
        return [self.data(file.path) for file in self.masks.get(path, ())]

    def numbers(self, path: str, masks: Sequence[bytes], shape: tuple[int, int]) -> np.ndarray | None:
        """Class numbers of the masks of an image that is h×w = `shape`, uint8 h×w; None: it has no mask.

        Raises:
            UnusableImage: a mask cannot be decoded.
        """
        with unusable():
            return class_numbers(self.masks[path], masks, shape) if masks else None

    def prepare(self, path: str, data: bytes, masks: Sequence[bytes]) -> np.ndarray:
        """uint8 H×W×C, as preprocess made the images that the model learned from.

        Raises:
            UnusableImage: it cannot be decoded, or a step cannot be applied.
        """
        with unusable():
            if not masks:
                return self.export.preprocess(data, path)
            original = self.export.preprocessor.original(data, path)
            numbers = self.numbers(path, masks, original.shape[:2])
            return self.export.preprocessor.prepare(original, numbers, path).image

    def image(self, path: str) -> np.ndarray:
        """As `prepare`."""
        return self.prepare(path, *self.read(path))
