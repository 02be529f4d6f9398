"""What the header of a DICOM file says of the patient and the film."""

from __future__ import annotations

import io

from ..shared.images.kinds import is_dicom

PATIENT = "PatientID"
FIELDS = {"age": "PatientAge", "sex": "PatientSex", "view": "ViewPosition", "manufacturer": "Manufacturer"}
"""Names in params.yaml -> DICOM's attributes."""


def header(data: bytes) -> dict[str, str]:
    """Attribute -> its text, where the file has one; empty for other files and damaged headers."""
    import pydicom

    if not is_dicom(data):
        return {}
    keywords = [PATIENT, *FIELDS.values()]
    try:
        dataset = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, specific_tags=keywords)
        return {keyword: str(dataset[keyword].value).strip() for keyword in keywords if dataset.get(keyword)}
    except Exception:  # pydicom raises nearly anything on damaged bytes; decoding says that the file is unreadable
        return {}
