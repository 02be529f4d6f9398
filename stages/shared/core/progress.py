"""Progress: a bar in a terminal, a line now and then where the output goes to a file; durations as text."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

LINE_EVERY = 10.0  # seconds, without a terminal


def progress(items: Iterable[Any] | None = None, **options: Any) -> Any:
    """tqdm on stderr; `options` are tqdm's."""
    from tqdm import tqdm

    watched = sys.stderr.isatty()
    options = {"mininterval": 0.1 if watched else LINE_EVERY, "dynamic_ncols": watched, **options}
    if not watched:
        options["leave"] = True  # else the next message stands on the bar's line
    return tqdm(items, file=sys.stderr, **options)


def clock(seconds: float) -> str:
    """1:05 or 1:02:05."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
