"""The cases that show what a model does: which test images, and the pictures of each. One file a task.

cases.py           what a task provides
classification.py  right and wrong predictions of each class, with heat maps
segmentation.py    best, median and worst outlines, and images that every model shows
anomaly.py         highest, median and lowest scores, with their maps, and images that every model shows
middle.py          rows of a table from the middle outwards
"""

from __future__ import annotations

from . import anomaly, classification, segmentation
from .cases import Cases

CASES: dict[str, Cases] = {"classification": classification, "segmentation": segmentation, "anomaly": anomaly}
