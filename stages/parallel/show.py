"""What happens, in words: a line per event, and in a terminal a live line per job below."""

from __future__ import annotations

import sys
import time

from ..shared.core.paths import Key
from . import member
from .machine import Slot
from .member import Outcome

REFRESH = 1.0  # seconds


class Show:
    """Watches the jobs and keeps what came of each, in the order of the matrix."""

    def __init__(self, keys: list[Key], slots: list[Slot]) -> None:
        self.order, self.slots = keys, slots
        self.done: dict[Key, Outcome] = {}
        self.running: dict[Key, tuple[Slot, float]] = {}
        self.live = Live(len(slots)) if sys.stderr.isatty() else None
        self.say(opening(len(keys), slots))

    @property
    def outcomes(self) -> list[Outcome]:
        return [self.done[key] for key in self.order if key in self.done]

    @property
    def failed(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.failed]

    def started(self, key: Key, slot: Slot) -> None:
        self.running[key] = (slot, time.monotonic())
        if self.live is None:
            self.say(f"{'':7} {key}: started{f' on {slot.name}' if slot.name else ''}")

    def finished(self, key: Key, slot: Slot, code: int, seconds: float) -> None:
        del self.running[key]
        self.done[key] = outcome = member.outcome(key, code, seconds)
        self.say(f"{f'{len(self.done)}/{len(self.order)}':>7} {told(outcome)}")
        for line in outcome.tail:
            self.say(f"{'':7} | {line}")

    def tick(self) -> None:
        if self.live:
            now = time.monotonic()
            self.live.show(
                [
                    f"{slot.name:>7} {key} {clock(now - since)}  {member.last_line(key)}"
                    for key, (slot, since) in self.running.items()
                ]
            )

    def say(self, line: str) -> None:
        if self.live:
            self.live.clear()
        print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.live:
            self.live.close()


class Live:
    """The last lines of a terminal, one per job, drawn anew once a second."""

    def __init__(self, lines: int) -> None:
        from tqdm import tqdm

        self.bars = [
            tqdm(bar_format="{desc}", dynamic_ncols=True, position=i, leave=False, file=sys.stderr)
            for i in range(lines)
        ]
        self.last = 0.0

    def show(self, texts: list[str]) -> None:
        if time.monotonic() - self.last < REFRESH:
            return
        self.last = time.monotonic()
        for bar, text in zip(self.bars, [*texts, *[""] * len(self.bars)], strict=False):
            bar.set_description_str(text)

    def clear(self) -> None:
        for bar in self.bars:
            bar.clear()
        self.last = 0.0

    def close(self) -> None:
        for bar in self.bars:
            bar.close()


def opening(models: int, slots: list[Slot]) -> str:
    threads = slots[0].threads
    each = f"{threads} thread{'s' * (threads != 1)} each"
    where = f"{each}, no GPU"
    if leased := list(dict.fromkeys(slot.name for slot in slots if slot.name)):
        shared = f", {len(slots)} jobs share them" if 1 < len(leased) < len(slots) else ""
        shared = f", {len(slots)} jobs share it" if len(leased) == 1 < len(slots) else shared
        where = f"{each}, on {', '.join(leased)}{shared}"
    return f"{models} model{'s' * (models != 1)}, {len(slots)} at a time, {where}. Logs: {member.LOGS}/"


def told(outcome: Outcome) -> str:
    if outcome.failed:
        return f"{outcome.key}: FAILED in {outcome.failed} after {clock(outcome.seconds)}; {outcome.log} ends with"
    done = [", ".join(outcome.ran)] * bool(outcome.ran)
    done += [f"{', '.join(outcome.restored)} from DVC's cache"] * bool(outcome.restored)
    return f"{outcome.key}: {'; '.join(done)} in {clock(outcome.seconds)}" if done else f"{outcome.key}: up to date"


def clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
