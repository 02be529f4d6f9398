"""Ask what one model's features say: neighbours, maps, suspected leaks: reports/embed/<key>/.

params.py      the settings
stage.py       reads, computes, writes
features.py    what the backbone makes of every image, without the head
neighbours.py  the images most alike, never of the same group
knn.py         neighbours that vote: class probabilities, and how many of them vote
leaks.py       images of two splits that are too much alike
maps.py        two coordinates for every image: t-SNE and PCA
"""

from __future__ import annotations

from collections.abc import Sized

from ..shared.core.errors import UserError
from ..shared.core.job import Job, Result
from .params import Params, most

FEWEST = 4  # images on a map, for a perplexity of 1

__all__ = ["Params", "check_data", "run"]


def run(params: Params, job: Job) -> Result:
    """Compute the features of every image and what follows from them. Draws no pictures: compare does."""
    from . import stage

    return stage.run(params, job)


def check_data(params: Params, index: Sized) -> None:
    """Raises UserError when t-SNE cannot map so few images; the message begins with the field."""
    points = min(len(index), params.points)
    perplexity = params.perplexity_of(points)
    chosen = "auto" if params.perplexity == "auto" else f"{perplexity:g}"
    if not 1 <= perplexity <= most(points):
        remedy = f"Give at most {most(points):.3g}, or auto" if points > FEWEST else "t-SNE needs more images"
        raise UserError(
            f"perplexity: {chosen}: t-SNE can have at most a third of the other images as neighbours, and "
            f"the map has {points}. {remedy}."
        )
