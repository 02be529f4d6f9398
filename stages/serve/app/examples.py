"""Test images of this study to try the app with: as PNG, JPEG and DICOM files, written when they are asked for."""

from __future__ import annotations

import io
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ...shared.core.paths import MANIFEST, PROCESSED, RAW
from ...shared.images.archive import Archive
from ...shared.images.decode import decode

if TYPE_CHECKING:
    from PIL import Image
    from pydicom import Dataset

Kind = Literal["PNG", "JPEG", "DICOM"]
KINDS: tuple[Kind, ...] = ("PNG", "JPEG", "DICOM")
MIME = {"PNG": "image/png", "JPEG": "image/jpeg", "DICOM": "application/dicom"}
COUNT = 6


@dataclass(frozen=True)
class Example:
    """path: in data/raw.zip. label: what the study says it is."""

    path: str
    label: str
    kind: Kind

    def read(self, archive: Archive) -> bytes:
        """The bytes of a file that holds this image."""
        return encode(decode(archive.read(self.path), self.path), self.kind)


def choose(learned: Collection[str] = (), count: int = COUNT) -> list[Example]:
    """Test images, the classes in turn, spread over the split; none without the data of a study.

    `learned`: SHA-256 of images that the model learned from: those are no test.
    """
    import pandas as pd

    index, manifest = PROCESSED / "index.parquet", MANIFEST
    if not (index.is_file() and manifest.is_file() and RAW.is_file()):
        return []
    table = pd.read_parquet(index, columns=["path", "label", "split"])
    hashes = pd.read_parquet(manifest, columns=["path", "sha256"])
    test = table[table["split"] == "test"].merge(hashes, on="path")
    test = test[~test["sha256"].isin(list(learned))]
    classes = [part for _, part in test.groupby("label", observed=True, sort=True)]
    chosen = list[tuple[str, str]]()
    for turn in range(count):
        own = classes[turn % len(classes)] if classes else test
        place, places = turn // max(len(classes), 1), -(-count // max(len(classes), 1))
        if place < len(own):
            row = own.iloc[place * len(own) // min(places, len(own))]
            chosen.append((str(row["path"]), str(row["label"])))
    return [Example(path, label, KINDS[i % len(KINDS)]) for i, (path, label) in enumerate(dict(chosen).items())]


def encode(image: Image.Image, kind: Kind) -> bytes:
    """`image`: of mode L or RGB. A PNG and a DICOM file keep every grey level, a JPEG nearly."""
    buffer = io.BytesIO()
    if kind == "DICOM":
        dicom(np.asarray(image)).save_as(buffer, enforce_file_format=True)
    else:
        image.save(buffer, kind, **({"quality": 95} if kind == "JPEG" else {}))
    return buffer.getvalue()


def dicom(pixels: np.ndarray) -> Dataset:
    """A secondary capture of nobody. `pixels`: uint8 H×W or H×W×3."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[pixels.tobytes().hex()])
    dataset.PatientName = dataset.PatientID = ""
    dataset.Modality = "OT"
    dataset.set_pixel_data(pixels, "RGB" if pixels.ndim == 3 else "MONOCHROME2", 8, generate_instance_uid=False)
    return dataset
