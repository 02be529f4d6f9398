"""What a report shows of one task alone: figures, pictures and tables beside those that every task has. A view is one
file here, and a folder of the same name in page/templates.

view.py            what a view provides
classification.py  threshold curves, confusion matrices, heat maps
segmentation.py    scores of each image, outlines, errors
anomaly.py         scores of both classes, maps, what a threshold promised and what it did
shared_cases.py    the same test images of every model, where an answer is a picture
"""

from __future__ import annotations

from . import anomaly, classification, segmentation
from .view import View

VIEWS: dict[str, View] = {"classification": classification, "segmentation": segmentation, "anomaly": anomaly}
