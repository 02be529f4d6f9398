"""Make arrays of the images and split the patients: data/processed/.

params.py     the settings: what is done to an image (shared.preprocessing), and the split
split.py      the manifest's rows -> groups that must stay together -> test, folds, train and val
provided.py   the set's own split: groups that it divides are refused, or moved whole
arrays.py     images -> images.npy, masks.npy and masks_original.zip, in parallel, never all in memory
unchanged.py  images that a step left as they were
card.py       the split card: what lies where, and the proof that nothing lies in two parts
earlier.py    rows of earlier runs, by the content of their files
figures.py    before and after, step by step; the split card as a picture
stage.py      the stage: reads, calls, writes
"""

from __future__ import annotations

from ..shared.core.job import Job, Result
from .params import Params

__all__ = ["Params", "check", "run"]


def run(params: Params, job: Job) -> Result:
    """Writes data/processed/ and reports/preprocess/: before_after.png, split.png, split.json, steps.json.

    Raises: UserError: an unknown step or argument, too few groups for the folds, a part of the split without
        a class, a provided split that a patient crosses, a crop to masks that are not there, a full disk.
    """
    from . import stage

    return stage.run(params, job)


def check(params: Params) -> None:
    """Ask albumentations about every step.

    Raises:
        UserError: a step or an argument that does not exist, a crop that comes too late; the message begins with the
            field, e.g. `steps[0]: …`.
    """
    from ..shared.arrays.preprocessing import Preprocessor

    Preprocessor(params.spec, where="")
