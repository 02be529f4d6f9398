"""What models are judged by: the metrics of each task, weighted, so that a bootstrap is a matrix of weights.

measure.py         what a metric is called and which way is better; what a task brings
truth.py           the masks that predictions are judged by
statistics.py      threshold curves, confusion counts
intervals.py       bootstrap draws of patients, intervals from them
noninferiority.py  is it at least as good as another model, but for a margin? how many patients would decide?
judge.py           a table of predictions -> metrics with intervals, and their draws
gaps.py            differences between two groups or two models, with intervals that hold for all at once
groupings.py       groups of the test images: sites, metadata, folders, kinds of files
calibration.py     from probabilities to calibrated ones
reliability.py     how far probabilities are from what happens
benefit.py         what acting on a probability is worth
conformal.py       sets of classes that contain the true one as often as promised
selective.py       what is won when the least certain images are left to a human
classification.py  the one list of the metrics of classification, and how they are computed
segmentation.py    the same of segmentation, from scores of single images
scoring.py         those scores: overlap and distances, at the size of the network and of the file
anomaly.py         the same of anomaly detection, from a score of each image
pixels.py          whether its maps point at what was annotated
threshold.py       from scores to decisions: operating points
predictive.py      PPV and NPV at another prevalence
faithfulness.py    do heat maps show what a model reads? the checks of explain in a word
surfaces.py        distances between the boundaries of two masks
"""

from __future__ import annotations

from . import anomaly, classification, segmentation
from .measure import TaskMeasures

MEASURES: dict[str, TaskMeasures] = {
    "classification": classification.MEASURES,
    "segmentation": segmentation.MEASURES,
    "anomaly": anomaly.MEASURES,
}
"""By task. It stands apart from what trains the task (`shared/tasks`), so that a new metric retrains no model."""
