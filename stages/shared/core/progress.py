"""A progress bar in a terminal, and a line now and then where the output goes to a file."""

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
