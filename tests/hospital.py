"""What a hospital hands out: films with the identity of patients in headers, folders, names and a table, and settings that
hide it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, RLELossless

SECRETS = ("MUELLER", "Hannelore", "4711-", "19530412", "ACC00931", "OTHER77", "Dr^House", "1.2.826.99.1", "Charité")
"""All that the films below say of their patients."""


def film(seed: int = 0, side: int = 40) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(side // 8, side // 8))
    return np.asarray(np.kron(noise, np.ones((8, 8))) * 300 + 2000, np.uint16)


def dicom(pixels: np.ndarray, syntax: str = ExplicitVRLittleEndian, patient: str = "4711-88", **tags: object) -> bytes:
    """A film with personal data wherever a header can have them: in its own fields, in nested, private and overlay
    ones, in the preamble and in the file's own header."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = syntax, "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID, meta.SourceApplicationEntityTitle = "1.2.826.99.1", "MUELLER"
    preamble, little = b"MUELLER".ljust(128, b"\0"), syntax != ExplicitVRBigEndian
    data = FileDataset(None, {}, file_meta=meta, preamble=preamble, is_little_endian=little)
    data.SOPClassUID, data.SOPInstanceUID, data.SpecificCharacterSet = (
        meta.MediaStorageSOPClassUID,
        "1.2.826.99.1",
        "ISO_IR 100",
    )
    data.PatientID, data.PatientName, data.PatientBirthDate = patient, "MUELLER^Hannelore", "19530412"
    data.AccessionNumber, data.OtherPatientIDs, data.InstitutionName = "ACC00931", ["OTHER77", "X1"], "Charité"
    data.ReferringPhysicianName, data.StudyDescription = "Dr^House", "Thorax MUELLER"
    data.PatientAge, data.PatientSex, data.ViewPosition, data.Manufacturer = "070Y", "F", "PA", "Agfa"
    request = Dataset()
    request.AccessionNumber, request.RequestedProcedureDescription = "ACC00931", "MUELLER"
    data.RequestAttributesSequence = Sequence([request])
    data.private_block(0x0009, "LIGHTBOX", create=True).add_new(1, "LO", "Hannelore")
    data.add_new(0x60000022, "LO", "MUELLER")
    data.PixelSpacingCalibrationDescription = "4711-88"  # in the group of the pixels, and free text
    data.Rows, data.Columns = pixels.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    if pixels.ndim == 3:
        data.NumberOfFrames = len(pixels)
    order = ">u2" if syntax == ExplicitVRBigEndian else "<u2"
    data.add_new(0x7FE00010, "OW", pixels.astype(order).tobytes())
    for name, value in tags.items():
        setattr(data, name, value)
    if syntax == RLELossless:
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.compress(RLELossless, generate_instance_uid=False)
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def refuse_secrets(text: str | bytes, where: object, secrets: tuple[str, ...] = SECRETS) -> None:
    data = text.encode() if isinstance(text, str) else text
    for secret in secrets:
        for form in {secret, secret.replace("^", " "), secret.casefold()}:
            for encoding in ("utf-8", "latin-1", "utf-16-le"):
                assert form.encode(encoding) not in data, (secret, where)


def plant(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def hand_out(folder: Path, patients: int = 12) -> Path:
    """What a hospital hands out: identity in headers, in folders, in names and in the table."""
    files = {}
    rows = ["Datei;PatID;Name;Geburt;Akte;Befund;Alter"]
    for number in range(patients):
        who, name = f"4711-{number:02d}", "MUELLER" if number % 4 < 2 else "Hannelore"
        finding = "sick" if number % 2 else "normal"
        for shot in range(2):
            path = f"{name}_{who}_19530412/ACC00931_{shot}.dcm"
            files[path] = dicom(film(10 * number + shot), patient=who)
            rows.append(f"{path};{who};{name};19530412;ACC00931;{finding};{40 + number:03d}Y")
    files["labels.csv"] = "\n".join(rows).encode()
    return plant(folder, files)


NAMES = r"^(?P<patient>[^/]+)/(?P<study>ACC\d+)"
SETTINGS = {
    "classes": {"normal": "normal", "sick": "sick"}, "on_failure": "stop", "limits": {"min_images_per_class": 4},
    "labels": {"table": "labels.csv", "path_column": "Datei", "label_column": "Befund", "patient_column": "PatID",
               "metadata": {"age": "Alter"}},
    "dicom": {"metadata": ["sex", "view", "manufacturer"]},
}  # fmt: skip
