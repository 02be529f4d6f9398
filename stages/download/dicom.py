"""DICOM files on their way into the archive: one image per file, and no header that says who the patient is."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from ..shared.images import frames
from ..shared.images.kinds import is_dicom
from .privacy import Pseudonyms, named_in

if TYPE_CHECKING:
    from pydicom import Dataset

Rule = Literal["first", "middle", "all"]
KEPT = frozenset({
    "SpecificCharacterSet", "SOPClassUID", "Modality", "PatientAge", "PatientSex", "BodyPartExamined", "ViewPosition",
    "Laterality", "ImageLaterality", "Manufacturer", "ManufacturerModelName", "PixelData",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", *frames.MACROS,
})  # fmt: skip
"""What stays of a header, beside how the pixels are stored and shown (group 0028)."""
PIXELS = 0x0028
CODE, MAKER = re.compile(r"[A-Z][A-Z_ ]{0,15}"), re.compile(r"(?!.*\d{4})[A-Za-z][A-Za-z0-9 .,&/()_-]{0,39}")
FORMS = {
    "PatientAge": re.compile(r"\d{1,3}[DWMY]?"),
    "PatientSex": re.compile(r"[MFO]"),
    "ViewPosition": re.compile(
        "AP|PA|AP_AXIAL|PA_AXIAL|LL|RL|LLD|RLD|LLO|RLO|LAT|LATERAL|OBLIQUE|LORDOTIC|CC|MLO|ML|LM|LMO|XCCL|XCCM|FB|SIO|AT|CV"
    ),
    "Laterality": re.compile("[RLUB]"),
    "ImageLaterality": re.compile("[RLUB]"),
    "Modality": CODE,
    "BodyPartExamined": CODE,
    "Manufacturer": MAKER,
    "ManufacturerModelName": MAKER,
}
"""What may be typed by hand stays only in a short form that has no room for more, and where no identifier of the header
stands in it."""
TEXTS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UI", "UR", "UT", "UN"})
"""Kinds of value in which anything may be written."""
IDENTIFIERS = (
    "PatientID", "PatientName", "PatientBirthName", "OtherPatientIDs", "OtherPatientNames", "PatientBirthDate",
    "AccessionNumber", "StudyID",
)  # fmt: skip
UNREADABLE = bytes(128) + b"DICM"  # a DICOM file without anything in it: `decode` calls it unreadable


def counts_as_dicom(data: bytes, name: str) -> bool:
    """The same question as `decode` asks."""
    return is_dicom(data) or name.lower().endswith((".dcm", ".dicom"))


def read(data: bytes) -> Dataset | None:
    """None for a file that is damaged."""
    import pydicom

    try:
        dataset = pydicom.dcmread(io.BytesIO(data))
        dataset.file_meta.TransferSyntaxUID  # noqa: B018  missing in some damaged files
    except Exception:  # pydicom raises nearly anything on damaged bytes
        return None
    return dataset


def write(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def chosen(dataset: Dataset, rule: Rule) -> Iterator[tuple[int | None, Dataset]]:
    """The frames that `rule` takes, each with its number where all are taken, from 1; of one frame that is None."""
    number = frames.count(dataset)
    if number == 1 or rule == "first" or "PixelData" not in dataset:
        yield None, dataset
    elif rule == "middle":
        yield None, frames.cut(dataset, number // 2)
    else:
        for frame in range(number):
            yield frame + 1, frames.cut(dataset, frame)


def frame_name(name: str, number: int | None) -> str:
    """What the file of a frame is called: a.dcm -> a_frame0001.dcm; without a number, as the file that it is from."""
    if number is None:
        return name
    suffix = PurePosixPath(name).suffix
    suffix = suffix if suffix.lower() in (".dcm", ".dicom") else ""
    return f"{name.removesuffix(suffix)}_frame{number:04d}{suffix}"


def identifiers(dataset: Dataset) -> list[str]:
    """What the header says of who the patient is, in text."""
    values: list[str] = []
    for keyword in IDENTIFIERS:
        value = dataset.get(keyword)
        for one in value if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue" else [value]:
            values += [str(one), *str(one).replace("=", "^").split("^")] if one else []
    return [value.strip() for value in dict.fromkeys(values) if value.strip()]


def strip(dataset: Dataset, pseudonyms: Pseudonyms) -> list[str]:
    """Leave, in place, only what KEPT lists and how the pixels are stored and shown; the patient's id becomes its
    pseudonym, and the file gets an id of its own.

    A list of what stays, because nobody can list all that vendors write; it is shorter than the basic profile of DICOM
    PS3.15 annex E, and removes all that the profile removes. Age and sex stay (its option "retain patient
    characteristics"), and so do maker and model of the device. Returns what was removed although it is listed, because
    it has another form than FORMS.
    """
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID, SecondaryCaptureImageStorage

    odd, own = list[str](), identifiers(dataset)
    for keyword, form in FORMS.items():
        text = str(dataset[keyword].value or "").strip() if keyword in dataset else ""
        if text and (not form.fullmatch(text) or named_in(text, own)):
            del dataset[keyword]
            odd.append(keyword)
    patient, instance = dataset.get("PatientID"), str(dataset.get("SOPInstanceUID", ""))
    _leave(dataset)
    if patient:
        dataset.PatientID = pseudonyms.of(str(patient))
    dataset.SOPInstanceUID = UID(f"2.25.{int(pseudonyms.of(instance or str(patient), '').rpartition('-')[2], 16)}")
    dataset.SOPClassUID = UID(dataset.get("SOPClassUID") or SecondaryCaptureImageStorage)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    dataset.file_meta, dataset.preamble = meta, bytes(128)
    return odd


def _leave(dataset: Dataset) -> None:
    from pydicom.datadict import keyword_for_tag

    for tag in list(dataset.keys()):
        keyword = keyword_for_tag(tag)
        if keyword not in KEPT and (tag.group != PIXELS or dataset[tag].VR in TEXTS):
            del dataset[tag]
        elif dataset[tag].VR == "SQ":
            for item in dataset[tag].value:
                _leave(item)
