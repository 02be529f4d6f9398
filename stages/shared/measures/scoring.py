"""The prediction table of segmentation: how well each structure of each image was outlined.

Scores are taken at the size that the network reads and again at the size of the file, where its mask can be had: masks
that are reduced together with the image lose what is thin, which flatters.

Where both masks are empty a score is not defined (NaN), and counted. Where one is empty the overlap and the surface
Dice are 0 and the distances are the diagonal of the image. Precision is 0 where a structure was missed; recall is not
defined where there is nothing to be recalled, whatever was predicted.

Shapes: n images, K structures, H×W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.hardware import on_all_cores
from .surfaces import surface_scores

if TYPE_CHECKING:
    import pandas as pd

    from .measure import Options, Truth

COUNTS = ("tp", "fp", "fn", "tn")
SCORES = ("dice", "iou", "precision", "recall", "hd95", "mean_surface_distance", "surface_dice")
ORIGINAL = "_original"
"""After the name of a score: at the size of the file."""
OF = ":"
"""Between a score and its structure: the columns of a prediction table, as in "dice:lung"."""


def scored(table: pd.DataFrame, maps: np.ndarray | None, truth: Truth, options: Options) -> pd.DataFrame:
    """`table` with the columns <score>:<structure> (COUNTS in pixels, SCORES, and SCORES at the original size),
    components:<structure> (how many of the largest were kept; 0: all) and threshold.

    `table`: one row per image; `maps`: uint8 n×K×H×W, the probability of each structure in 255ths.
    """
    import pandas as pd

    decision, mask_of = truth.decision, truth.mask_of
    assert maps is not None
    assert decision is not None
    assert mask_of is not None

    def scores(i: int) -> dict[str, float]:
        own = scores_of(mask_of(maps[i]), truth.masks[i], truth.structures, options.surface_tolerance)
        original = truth.original(i)
        if original is None:
            return own
        restored = np.stack([truth.restore(each, original.shape) for each in maps[i]])
        at_original = scores_of(mask_of(restored), original, truth.structures, options.surface_tolerance)
        return own | {
            f"{score}{ORIGINAL}{OF}{structure}": at_original[f"{score}{OF}{structure}"]
            for score in SCORES
            for structure in truth.structures
        }

    names = [f"{name}{OF}{structure}" for structure in truth.structures for name in (*COUNTS, *SCORES)]
    names += [f"{name}{ORIGINAL}{OF}{structure}" for structure in truth.structures for name in SCORES]
    columns = pd.DataFrame(on_all_cores(scores, len(table)), columns=names, index=table.index, dtype=np.float64)
    kept = {f"components{OF}{name}": k for name, k in zip(truth.structures, decision.kept, strict=True)}
    return table.join(columns).assign(threshold=decision.level / 255, **kept)


def scores_of(predicted: np.ndarray, truth: np.ndarray, structures: list[str], tolerance: float) -> dict[str, float]:
    """COUNTS and SCORES of each structure, from two arrays of class numbers h×w. `tolerance`: share of the diagonal."""
    values: dict[str, float] = {}
    pixels = max(1.0, tolerance * float(np.hypot(*truth.shape)))  # finer than a pixel nothing can be said
    for k, structure in enumerate(structures, start=1):
        ours, theirs = predicted == k, truth == k
        tp = int((ours & theirs).sum())
        fp, fn = int(ours.sum()) - tp, int(theirs.sum()) - tp
        tn = truth.size - tp - fp - fn
        surfaces = surface_scores(ours, theirs, pixels)
        scores = (tp, fp, fn, tn, *overlap(tp, fp, fn), surfaces.hd95, surfaces.mean, surfaces.dice)
        values |= {f"{name}{OF}{structure}": value for name, value in zip((*COUNTS, *SCORES), scores, strict=True)}
    return values


def overlap(tp: float, fp: float, fn: float) -> tuple[float, float, float, float]:
    """Dice, IoU, precision, recall."""
    if not tp + fp + fn:
        return np.nan, np.nan, np.nan, np.nan
    recall = tp / (tp + fn) if tp + fn else np.nan
    return 2 * tp / (2 * tp + fp + fn), tp / (tp + fp + fn), tp / (tp + fp) if tp + fp else 0.0, recall
