"""Progress: a bar in a terminal, a line now and then where the output goes to a file; durations as text."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

LINE_EVERY = 10.0  # seconds, without a terminal
BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}]"  # never seconds per batches


def progress(
    items: Iterable[Any] | None = None,
    *,
    desc: str,
    unit: str,
    total: int | None = None,
    done: int = 0,
    leave: bool = True,
    disable: bool = False,
) -> Any:
    """An iterable of `items` that shows on stderr how far it is; without items, a context with `update(count)`.

    Args:
        unit: what is counted, in the plural.
        total: the length of `items`, where they have none.
        done: of the total, before this started.
        leave: the bar, or in a log a line at the end, stays when it is full.
        disable: no bar. A log has a line where it takes long.
    """
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    if not sys.stderr.isatty():
        return Lines(items, desc, unit, total, done, leave)
    from tqdm import tqdm

    # no smoothing: what comes at once after a pause, as from other processes, has no rate of its own
    options = {"total": total, "initial": done, "leave": leave, "disable": disable, "smoothing": 0, "bar_format": BAR}
    return tqdm(items, desc=desc, unit=f" {unit}", dynamic_ncols=True, file=sys.stderr, **options)


class Lines:
    """A progress bar for a log: a line every LINE_EVERY seconds, and one at the end."""

    def __init__(
        self, items: Iterable[Any] | None, desc: str, unit: str, total: int | None, done: int, leave: bool
    ) -> None:
        self.items, self.desc, self.unit, self.total, self.leave = items, desc, unit, total, leave
        self.count = self.before = done
        self.start = self.last = time.monotonic()

    def __iter__(self) -> Iterator[Any]:
        self.last = time.monotonic()
        with self:
            for item in self.items or ():
                yield item
                self.update()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.leave and kind is None:
            self._say(f"{self.count:,} {self.unit} in {clock(time.monotonic() - self.start)}")

    def update(self, count: int = 1) -> None:
        self.count += count
        now = time.monotonic()
        if now - self.last < LINE_EVERY:
            return
        self.last = now
        if self.total is None:
            self._say(f"{self.count:,} {self.unit}")
        else:
            left = (now - self.start) / (self.count - self.before) * (self.total - self.count)
            self._say(f"{self.count:,} of {self.total:,} {self.unit}, about {clock(left)} left")

    def _say(self, text: str) -> None:
        print(f"{self.desc}: {text}", file=sys.stderr)


def clock(seconds: float) -> str:
    """1:05 or 1:02:05."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
