"""Make arrays of the images and split the patients: data/processed/.

params.py     the settings: what is done to an image (shared.preprocessing), and the split
split.py      the manifest's rows -> groups that must stay together -> test, folds, train and val
deal.py       groups -> parts, as even as possible
masks.py      mask files -> class numbers of each pixel
arrays.py     images -> images.npy, masks.npy and masks_original.zip, in parallel, never all in memory
figures.py    before and after; counts per split
stage.py      the stage: reads, calls, writes
"""

from __future__ import annotations

from ..shared.core.job import Job, Result
from .params import Params

__all__ = ["Params", "check", "run"]


def run(params: Params, job: Job) -> Result:
    """Writes data/processed/ and reports/preprocess/before_after.png and split.png.

    Raises: UserError: an unknown step or argument, too few groups for the folds, a part of the split without
        a class, a provided split that a patient crosses, a full disk.
    """
    from . import stage

    return stage.run(params, job)


def check(params: Params) -> None:
    """Ask albumentations about every step.

    Raises:
        UserError: a step or an argument that does not exist; the message begins with the field, e.g. `steps[0]: …`.
    """
    from ..shared.arrays.transforms import Transform

    Transform(params.steps, "steps", channels=params.channels, deterministic=True)
