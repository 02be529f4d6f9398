"""What a careful reader asks beyond the metrics: one file a question, each with a section of metrics.json.

evidence.py   what a section is made from
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .evidence import Evidence

SECTIONS: dict[str, dict[str, Callable[[Evidence], Mapping[str, Any]]]] = {
    "classification": {},
    "segmentation": {},
    "anomaly": {},
}
"""By task, then by the name in metrics.json."""
