"""Pack the images of one source into data/raw.zip, which every later stage reads.

params.py   which source, and what a user may say about it
phantom/    synthetic films, drawn by a program
folder.py   a folder or an archive of the user's
kaggle.py   a Kaggle data set
unpack.py   the files of a zip or tar archive
entries.py  the images and tables among a source's files -> data/raw.zip
privacy.py  names of patients -> pseudonyms; messages that name nobody
dicom.py    DICOM files: frames, and headers without personal data
tables.py   tables under pseudonyms
names.py    the names that a folder would have in the archive
stage.py    the stage: calls the source that params.yaml names
"""

from __future__ import annotations

from collections.abc import Callable

from ..shared.core.job import Job, Result
from .params import Params

__all__ = ["Params", "listing", "run"]


def run(params: Params, job: Job) -> Result:
    """Write data/raw.zip. After an error there is no half-written archive.

    Raises:
        UserError: the source is missing, unreadable, unsafe or has no image, or the disk is full.
    """
    from . import stage

    return stage.run(params, job)


def listing(params: Params) -> dict[str, Callable[[], bytes]] | None:
    """Of a folder: name in the archive -> what reads the file. None where only packing can tell.

    Raises:
        UserError: there is no such folder, or it cannot be read.
    """
    from .names import listing

    return listing(params)
