"""What a careful reader asks beyond the metrics: one file a question, each with a section of metrics.json.

evidence.py        what a section is made from
rates.py           rates with intervals
operating_point.py from which score on is an image called positive?
calibration.py     can a probability be taken at its word?
decision_curve.py  would acting on it help?
conformal.py       which classes cannot be ruled out?
abstention.py      what if the least certain images are left to a human?
subgroups.py       is it equally good for all groups of images (measures/groupings.py)?
uncertainty.py     does an uncertainty from several predictions find the errors?
failures.py        which images does it get most wrong?
passes.py          these predictions: with dropout, and of augmented views
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from . import abstention, calibration, conformal, decision_curve, failures, operating_point, subgroups, uncertainty
from .evidence import Evidence

SECTIONS: dict[str, dict[str, Callable[[Evidence], Mapping[str, Any]]]] = {
    "classification": {
        "operating_point": operating_point.of_classes,
        "calibration": calibration.section,
        "decision_curve": decision_curve.section,
        "conformal": conformal.section,
        "abstention": abstention.section,
        "subgroups": subgroups.section,
        "uncertainty": uncertainty.section,
        "failures": failures.of_classes,
    },
    "segmentation": {"subgroups": subgroups.section, "failures": failures.of_masks},
    "anomaly": {
        "operating_point": operating_point.of_anomalies,
        "subgroups": subgroups.section,
        "failures": failures.of_alarms,
    },
}
"""By task, then by the name in metrics.json."""

COLUMNS: dict[str, list[Callable[[Evidence], pd.DataFrame]]] = {
    "classification": [calibration.columns, conformal.columns, uncertainty.columns],
    "segmentation": [],
    "anomaly": [],
}
"""By task: what predictions.parquet gets beside what the task predicts, in this order; each sees those before it."""

FILES: dict[str, dict[str, Callable[[Evidence], Mapping[str, Any]]]] = {
    "classification": {"calibration.json": calibration.file},
    "segmentation": {},
    "anomaly": {},
}
"""By task: files beside metrics.json."""
