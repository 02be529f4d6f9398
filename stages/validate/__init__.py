"""Check every image of data/raw.zip once: data/manifest.parquet and Data Docs.

params.py      what a user may say about an image set
globs.py       patterns on member names
labels.py      a table of the archive -> label, patient, site, provided split, metadata of each image
names.py       names, or the table -> the same for every image of the archive
headers.py     what DICOM headers say of the patient and the film
masks.py       names -> the mask files of each image, and masks without an image
inspection.py  bytes -> size, hashes, brightness, contrast, sharpness; in parallel
mask_inspection.py  bytes of a mask -> size, grey levels, share of the structure
earlier.py     inspections of earlier runs, by the content of their files
compared.py    which pictures earlier runs compared, and which pairs are the same picture
duplicates.py  hashes -> clusters of images that are the same picture
table.py       names and inspections as tables of images and masks, with the columns that only checks need
checks.py      what is expected of an image, a mask, and the words for one that fails
drift.py       do classes, or parts of a provided split, differ in what should not matter
expectations.py  what the user expects
suite.py       the checks as Great Expectations runs them
docs.py        Data Docs with a front page that needs no network
shortcuts/     whether the label can be told from what should not matter
stage.py       the stage
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..shared.core.job import Job, Result
from .params import Params

__all__ = ["Params", "check", "check_names", "looks_like_mask", "run"]


def run(params: Params, job: Job) -> Result:
    """Writes data/manifest.parquet, and in reports/validate/ validation.json, data_docs/ and shortcuts/.

    Raises: UserError: a pattern that matches nothing, a table that does not fit, a file with two labels, critical
        failures under `on_failure: stop`.
    """
    from . import stage

    return stage.run(params, job)


def check(params: Params) -> None:
    """Ask Great Expectations about the user's expectations, if there are any.

    Raises:
        UserError: a type, a column or an argument that does not exist; the message begins with the file, or where there
            is none with the field.
    """
    from . import expectations

    expectations.read(params)


def check_names(params: Params, files: Mapping[str, Callable[[], bytes]], table_alone: bool = False) -> None:
    """Whether patterns and table fit files that are not packed yet: name in the archive -> what reads one.
    `table_alone`: whether the table has the columns, where its cells are not yet what they will be.

    Raises:
        UserError: as from `run`, of names.
    """
    from .labels import table_of
    from .names import assign

    def read(name: str) -> bytes:
        return files[name]()

    if table_alone and params.labels:
        table_of(list(files), params.labels, read)
    else:
        assign(list(files), params, read)


def looks_like_mask(params: Params, name: str) -> bool:
    """Whether a file is named as `params.mask` names the mask of some image."""
    from .masks import looks_like_mask

    return looks_like_mask(name, params.mask or {})
