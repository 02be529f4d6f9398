"""Check every image of data/raw.zip once: data/manifest.parquet and Data Docs.

params.py      what a user may say about an image set
globs.py       patterns on member names
labels.py      a table of the archive -> label, patient, site, provided split, metadata of each image
names.py       names, or the table -> the same for every image of the archive
headers.py     what DICOM headers say of the patient and the film
masks.py       names -> the mask files of each image, and masks without an image
inspection.py  bytes -> size, hashes, brightness, contrast, sharpness; in parallel
mask_inspection.py  bytes of a mask -> size, grey levels, share of the structure
duplicates.py  hashes -> clusters of images that are the same picture
table.py       names and inspections as tables of images and masks, with the columns that only checks need
checks.py      what is expected of an image, a mask, and the words for one that fails
suite.py       the checks as Great Expectations runs them
docs.py        Data Docs with a front page that needs no network
stage.py       the stage
"""

from __future__ import annotations

from ..shared.core.job import Job, Result
from .params import Params

__all__ = ["Params", "run"]


def run(params: Params, job: Job) -> Result:
    """Writes data/manifest.parquet, reports/validate/validation.json and reports/validate/data_docs/.

    Raises: UserError: a pattern that matches nothing, a table that does not fit, a file with two labels, critical
        failures under `on_failure: stop`.
    """
    from . import stage

    return stage.run(params, job)
