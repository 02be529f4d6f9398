"""What happens, in words: a line per event, and in a terminal a live line per job below."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ..shared.core.paths import Key
from ..shared.core.progress import clock
from .machine import Slot
from .member import LOGS, Outcome, last_line, outcome_of
from .schedule import Place


class Display:
    """Prints a line when a job starts or ends, and keeps the outcomes. `live` shows the running jobs in a terminal.

    jobs: how many at a time; 0: not known, as on a cluster, so the time left is not told. title: the first line.
    """

    def __init__(self, keys: Sequence[Key], jobs: int, title: str) -> None:
        self.keys, self.jobs = keys, jobs
        self.ended: dict[Key, Outcome] = {}
        self.running: dict[Key, tuple[Place, float]] = {}
        self.console = Console(stderr=True)
        self.live = Live(console=self.console, get_renderable=self.live_lines, refresh_per_second=1, transient=True)
        self.say(title)

    @property
    def outcomes(self) -> list[Outcome]:
        return [self.ended[key] for key in self.keys if key in self.ended]

    def started(self, key: Key, place: Place) -> None:
        self.running[key] = (place, time.monotonic())
        if not self.console.is_terminal:
            self.say(f"{'':7} {key}: started{f' on {place.name}' if place.name else ''}")

    def finished(self, key: Key, place: Place, code: int, seconds: float) -> None:
        del self.running[key]
        self.ended[key] = outcome = outcome_of(key, code, seconds)
        self.say(f"{f'{len(self.ended)}/{len(self.keys)}':>7} {describe(outcome)}{self.left()}")
        for line in outcome.tail:
            self.say(f"{'':7} | {line}")

    def left(self) -> str:
        """The time that the other models will take, if they take as long as those before them."""
        seconds = [outcome.seconds for outcome in self.ended.values() if outcome.ran]
        models = len(self.keys) - len(self.ended)
        if not self.jobs or not seconds or not models:
            return ""
        each, now = statistics.mean(seconds), time.monotonic()
        work = each * models - sum(min(each, now - since) for _, since in self.running.values())
        return f" (about {clock(work / min(self.jobs, models))} left)"

    def live_lines(self) -> Group:
        """A line per running job, cut at the width of the terminal, and one for the whole."""
        now = time.monotonic()
        texts = [
            f"{place.name:>7} {key} {clock(now - since)}  {last_line(key)}"
            for key, (place, since) in list(self.running.items())
        ]
        texts.append(f"{len(self.ended)} of {len(self.keys)} models done{self.left()}")
        return Group(*(Text(text, no_wrap=True, overflow="ellipsis") for text in texts))

    def say(self, line: str) -> None:
        self.console.print(Text(line), soft_wrap=True)


def opening(models: int, slots: Sequence[Slot]) -> str:
    """How many models, how many at a time, and on what."""
    threads, names = slots[0].threads, list(dict.fromkeys(slot.name for slot in slots if slot.name))
    where = f"on {', '.join(names)}" if names else "no GPU"
    if names and len(names) < len(slots):
        where += f", {len(slots)} jobs share {'it' if len(names) == 1 else 'them'}"
    return (
        f"{models} model{'s' * (models != 1)}, {len(slots)} at a time, {threads} thread{'s' * (threads != 1)} each, "
        f"{where}. Logs: {LOGS}/"
    )


def describe(outcome: Outcome) -> str:
    if outcome.failed:
        return f"{outcome.key}: FAILED in {outcome.failed} after {clock(outcome.seconds)}; {outcome.log} ends with"
    parts = [f"{stage} {time}".strip() for stage, time in outcome.ran.items()]
    parts += [f"{stage} from DVC's cache" for stage in outcome.restored]
    return f"{outcome.key}: {', '.join(parts) or 'up to date'}"
