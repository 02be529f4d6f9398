"""A race between ways to train: a few steps of each, in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

GAIN = 1.1  # what a setting must gain over the reference to be taken
BUDGET = 12.0  # seconds, for the whole race, where LEAST images allow it
LEAST = 8  # images; of two or four the layers that gain most show nothing
ROUNDS = 3
IMAGES = 16  # at most so many in a measured step
LOSER = 1.3  # times the fastest: not worth another round


class Way(NamedTuple):
    """A way to train."""

    precision: str
    channels_last: bool

    def __str__(self) -> str:
        return f"{self.precision}, {'channels last' if self.channels_last else 'contiguous'}"


Step = Callable[[Way, int], None]  # one training step in that way on so many images


def race(ways: list[Way], step: Step, batch: int, timer: Callable[[], float] = time.perf_counter) -> dict[Way, float]:
    """Median seconds of a step in each way. In turns, so that a busy moment hits all alike; clear losers leave."""
    start = timer()

    def timed(way: Way, images: int) -> float:
        begin = timer()
        step(way, images)
        return timer() - begin

    few = min(batch, 2)  # BatchNorm needs two
    for way in ways:  # warm-up: kernels are chosen and memory is found
        timed(way, few)
    once = max(timed(ways[0], few), 1e-6)
    left = BUDGET - (timer() - start)
    images = max(min(batch, LEAST), min(batch, IMAGES, int(few * left / (once * len(ways) * (1 + ROUNDS)))))
    for way in ways if images > few else ():
        timed(way, images)
    seen: dict[Way, list[float]] = {way: [] for way in ways}
    running = list(ways)
    for turn in range(ROUNDS):
        if turn and (len(running) == 1 or timer() - start > BUDGET):
            break
        for way in running:
            seen[way].append(timed(way, images))
        fastest = min(min(times) for times in seen.values())
        running = [way for way in running if way is ways[0] or min(seen[way]) <= LOSER * fastest]
    return {way: statistics.median(times) for way, times in seen.items()}


def pick(seconds: dict[Way, float], reference: Way) -> Way:
    """The fastest, if it gains enough over the reference."""
    fastest = min(seconds, key=seconds.__getitem__)
    return fastest if seconds[reference] >= GAIN * seconds[fastest] else reference
