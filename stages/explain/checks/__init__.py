"""Are the maps of a model worth anything? Measured on a sample of the test images. One file a question.

examine.py       all of it for one model: methods.json, maps.parquet, mean maps
sample.py        which test images, and for how many of the test split each stands
place.py         where the heat lies in the image, and how wide
likeness.py      are maps of one class alike; do methods agree
curves.py        does the class lose its probability with the hottest pixels; beside random maps and edges
shuffled.py      do maps change when the model's weights are shuffled
masks.py         how much heat lies in what was annotated; beside the area and the brightness there
means.py         mean maps of each class and outcome, and where they are hottest
estimates.py     means with intervals, and what an interval shows
"""

from __future__ import annotations

from collections.abc import Callable

from .examine import Examination, examine, nothing

CHECKS: dict[str, Callable[..., Examination]] = {
    "classification": examine,
    "segmentation": nothing,
    "anomaly": nothing,
}
"""By task: of (model, arrays, predictions, classes, params)."""
