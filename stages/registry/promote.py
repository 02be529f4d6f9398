"""The champion changes: `promote`, `rollback`, and `settle`, which finishes what was begun.

MLflow's aliases change one at a time, the last writer wins, and nothing remembers the one before. So a change is

1. written into the log as begun, with the champion that it replaces;
2. made: `previous` first, then `champion`, so that a kill in between leaves the old champion in use;
3. read back, and written into the log as done.

Every step may be repeated. One lock per study keeps two changes on one machine apart; another machine is noticed by
what is read back.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from filelock import FileLock

from ..shared.core.errors import UserError
from ..shared.core.paths import project_root
from ..shared.tracking.aliases import Version
from . import log
from .decision import Decision
from .log import Entry, Model

CHAMPION, PREVIOUS, CHALLENGER = "champion", "previous", "challenger"
ROLLED_BACK = "rolled_back"  # tag of a version


class Aliases(Protocol):
    """The part of a registry (shared/tracking/aliases.py) that changes the champion."""

    @property
    def name(self) -> str: ...

    def alias(self, alias: str) -> Version | None: ...

    def version(self, number: str) -> Version: ...

    def point(self, alias: str, number: str) -> None: ...

    def forget(self, alias: str) -> None: ...

    def tag(self, number: str, tag: str, value: str) -> None: ...


@contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """Others wait."""
    path = project_root() / ".lightbox" / f"registry-{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield


def promote(
    registry: Aliases, decision: Decision, registered: Callable[[], Version], anyway: str = "", why: str = ""
) -> Version:
    """Make the candidate of a decision the champion. `registered`: gives its version, and makes it where there is none.
    `anyway`: a person's reason to promote it against the verdict. `why`: a remark for the log.

    Raises:
        UserError: the verdict is another one; the champion is no longer the one that the candidate was judged against;
            the candidate was rolled back after it had been judged; another machine changed the champion at the same
            time.
    """
    if decision.verdict != "promote" and not anyway:
        raise UserError(
            f"{decision.candidate.key}: the gate says {decision.verdict}. {decision.reason} To promote it all the "
            'same, give your reason, which goes into the log: python -m stages promote --anyway "…"'
        )
    with one_at_a_time(registry.name):
        finish(registry)
        champion, previous = registry.alias(CHAMPION), registry.alias(PREVIOUS)
        if champion and champion.digest == decision.candidate.digest:
            return champion
        check_current(champion, decision)
        objection = log.objection(log.read(registry.name), decision.candidate.digest)
        if objection and not anyway:
            raise UserError(f"{decision.candidate.key}: {objection}")
        version = registered()
        change = log.stamped(
            event="promote", state="begun", name=registry.name, verdict=decision.verdict,
            reason=anyway or why or decision.reason, candidate=model(version), champion=model(champion),
            previous=model(previous), test=decision.test,
        )  # fmt: skip
        log.append(change)
        make(registry, change)
        return version


def check_current(champion: Version | None, decision: Decision) -> None:
    """Raises UserError when the candidate was judged against another champion than there is now."""
    judged = decision.champion.version if decision.champion else None
    now = champion.number if champion else None
    if judged != now:
        was = f"against version {judged}" if judged else "when there was no champion"
        raise UserError(
            f"{decision.candidate.key} was judged {was}, and the champion is version {now or 'none'} now. Judge it "
            "again: python -m stages gate"
        )


def rollback(registry: Aliases, to: str | None = None, why: str = "") -> tuple[Version, bool]:
    """(the champion afterwards, whether it changed). Without `to`: the previous one. `previous` stays as it is, so that
    doing it twice is the same as once: a second one does not bring the bad model back.

    Raises:
        UserError: there is no champion, no previous one, or no such version.
    """
    with one_at_a_time(registry.name):
        finish(registry)
        champion, previous = registry.alias(CHAMPION), registry.alias(PREVIOUS)
        if champion is None:
            raise UserError(f"{registry.name}: has no champion, so there is nothing to roll back.")
        target = registry.version(to) if to else previous
        if target is None:
            raise UserError(
                f"{registry.name}: version {champion.number} is the first champion; there is no previous one. Give a "
                "version to go to: python -m stages rollback --to VERSION"
            )
        if target.number == champion.number:
            return champion, False
        change = log.stamped(
            event="rollback", state="begun", name=registry.name, reason=why, candidate=model(target),
            champion=model(champion), previous=model(previous),
        )  # fmt: skip
        log.append(change)
        make(registry, change)
        return target, True


def note_rollback(name: str, to: str | None = None, why: str = "") -> tuple[Model, bool]:
    """The same where the registry cannot be reached, from the log alone: noted, and made by the next command that
    reaches it. (champion to be, whether this is news).

    Raises:
        UserError: the log knows no such champion.
    """
    with one_at_a_time(name):
        entries = log.read(name)
        champion, previous = standing(entries)
        known = {m.version: m for e in log.changes(entries) for m in (e.candidate, e.champion) if m and m.version}
        target = known.get(to) if to else previous
        if champion is None or target is None:
            versions = ", ".join(f"{number} ({own.key})" for number, own in known.items()) or "none"
            raise UserError(f"{log.path()}: knows no champion to go back to. Champions it knows: {versions}.")
        if target.version == champion.version:
            return champion, False
        log.append(
            log.stamped(
                event="rollback", state="begun", name=name, reason=why, candidate=target, champion=champion,
                previous=previous,
            )
        )  # fmt: skip
        return target, True


def standing(entries: Sequence[Entry]) -> tuple[Model | None, Model | None]:
    """(champion, previous) once all that was begun is done."""
    abandoned = {entry.id for entry in entries if entry.state == "abandoned"}
    champion: Model | None = None
    previous: Model | None = None
    for entry in entries:
        if entry.state == "begun" and entry.id not in abandoned:
            champion = entry.candidate
            previous = (entry.champion or previous) if entry.event == "promote" else entry.previous
    return champion, previous


def finish(registry: Aliases) -> None:
    """`settle`, and say what it did."""
    for line in settle(registry):
        print(line, file=sys.stderr)


def settle(registry: Aliases) -> list[str]:
    """Finish the changes that were begun; a line about each. One whose champion has been replaced by somebody else is
    abandoned. Call it inside `one_at_a_time`."""
    lines = []
    for entry in log.unfinished(log.read(registry.name)):
        now, target = registry.alias(CHAMPION), entry.candidate
        if target is None or target.version is None:
            raise UserError(f"{log.path()}: the entry {entry.id} names no version. Correct or remove it.")
        expected = {target.version, entry.champion.version if entry.champion else None}
        if (now.number if now else None) in expected:
            make(registry, entry)
            lines.append(f"Finished the {entry.event} to version {target.version}, begun at {entry.at} by {entry.who}.")
        else:
            close(entry, "abandoned", f"the champion is version {now.number if now else 'none'}, set by somebody else")
            lines.append(
                f"Abandoned the {entry.event} to version {target.version}, begun at {entry.at}: the champion has been "
                "changed since."
            )
    return lines


def make(registry: Aliases, change: Entry) -> None:
    """The writes of a change; each may be repeated."""
    assert change.candidate is not None
    assert change.candidate.version is not None
    number, before = change.candidate.version, change.champion
    if change.event == "promote" and before and before.version:
        registry.point(PREVIOUS, before.version)
    registry.point(CHAMPION, number)
    if change.event == "rollback" and before and before.version and is_back(change, log.read(registry.name)):
        registry.tag(before.version, ROLLED_BACK, f"{change.at} {change.reason}".strip())
    champion = registry.alias(CHAMPION)
    if champion is None or champion.number != number:
        close(change, "abandoned", "the registry has another champion")
        raise UserError(
            f"{registry.name}: version {number} was made champion, and now it is version "
            f"{champion.number if champion else 'none'}: another machine did the same at this moment. Look at "
            "`python -m stages log`, then judge again."
        )
    challenger = registry.alias(CHALLENGER)
    if challenger and challenger.number == number:
        registry.forget(CHALLENGER)
    close(change, "done")


def is_back(change: Entry, entries: Sequence[Entry]) -> bool:
    """Whether a rollback goes back, and not forward again."""
    back = log.rolled_back([*log.changes(entries), change])
    return change.champion is not None and change.champion.digest in back


def close(change: Entry, state: str, why: str = "") -> None:
    log.append(log.stamped(event=change.event, state=state, id=change.id, name=change.name, reason=why))


def model(version: Version | None) -> Model | None:
    return Model(key=version.key, digest=version.digest, version=version.number) if version else None
