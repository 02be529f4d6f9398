"""What models are trained for. A task is one file here: how it trains and predicts. How it is judged is the file of the
same name in shared/measures: a new metric must not train anything again.

task.py            what a task provides
classification.py  one class per image
segmentation.py    one class per pixel
anomaly.py         normal or not, learned from normal images alone
losses.py          losses of logits, with class weights
models.py          a model of a task: new, or as trained
"""

from __future__ import annotations

from . import anomaly, classification, segmentation
from .task import Task

TASKS: dict[str, Task] = {"classification": classification, "segmentation": segmentation, "anomaly": anomaly}
