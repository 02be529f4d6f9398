"""The round, step by step."""

from __future__ import annotations

import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ..drift import command as drift
from ..drift.params import Params as DriftParams
from ..parallel import member
from ..registry import command as registry
from ..registry import log
from ..registry.params import Params as RegistryParams
from ..serve.params import Params as ServeParams
from ..shared.core import settings
from ..shared.core.credentials import without_credentials
from ..shared.core.errors import UserError
from ..shared.exported.chosen import chosen_key
from ..shared.exported.source import UnusableImage
from ..study import parse_matrix, tool_settings
from . import remote
from .params import Params

if TYPE_CHECKING:
    from ..registry.decision import Decision
    from ..registry.gate import Contender

Outcome = Literal["promoted", "passed", "unchanged", "rejected", "undecided"]
EXIT_CODES: dict[Outcome, int] = {"promoted": 0, "passed": 0, "unchanged": 0, "rejected": 3, "undecided": 4}
VERDICTS: dict[str, Outcome] = {"promote": "passed", "reject": "rejected", "undecided": "undecided"}


@dataclass(frozen=True)
class Round:
    """What has happened. trained, restored: models that were trained, and that came from DVC's cache. candidate: the
    model that validation chose. champion: what was in use when the round began, in words. judged: the earlier decision
    of the gate, where it was not asked again. drift: the verdict. not_measured: why drift could not be measured.
    remote: its name. version: of the new champion."""

    outcome: Outcome = "unchanged"
    trained: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    candidate: str = ""
    champion: str = ""
    decision: Decision | None = None
    judged: log.Entry | None = None
    drift: str = ""
    not_measured: str = ""
    remote: str = ""
    version: str = ""

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.outcome]


def go(params: Params, jobs: int | None, promote: bool) -> Round:
    """One round, by the params.yaml that is there after the pull. The promotion comes last: no later step can fail when
    there is a new champion.

    Raises:
        UserError: a step failed.
    """
    place = remote.chosen(params.remote)
    if place:
        say(f"pull from {place[0]}")
        remote.pull(place)
    else:
        say("DVC has no remote, so nothing is pulled; results stay on this machine (docs/retraining.md)")
    raw, since = settings.read(), time.time()
    champion = registry.champion_of(tool_settings(RegistryParams, raw, "registry").name)
    run([sys.executable, "-m", "stages", "parallel", *(["--jobs", str(jobs)] if jobs is not None else [])], "the study")
    made = after(raw, since)
    made = replace(made, remote=place[0] if place else "", champion=in_words(champion))
    export(made.candidate, raw)
    if params.drift and champion is not None:
        verdict, reason = watch(champion, raw)
        made = replace(made, drift=verdict, not_measured=reason)
    made = judge(made, champion, raw, promote)
    if place and params.push:
        say(f"push to {place[0]}")
        remote.push(place)
    if made.outcome == "passed" and promote:
        say("promote")
        version = registry.promote(why="retrain", raw=raw)
        made = replace(made, outcome="promoted", version=str(version.number))
    return made


def say(step: str) -> None:
    print(f"retrain: {step}", file=sys.stderr, flush=True)


def run(command: list[str], what: str) -> None:
    say(what)
    if code := subprocess.run(command, check=False).returncode:
        raise UserError(f"{what[0].upper()}{what[1:]} failed with exit code {code}; its last lines above say why.")


def after(raw: Mapping[str, Any], since: float) -> Round:
    """Which models were trained since then, by the logs of their processes."""
    trained, restored = list[str](), list[str]()
    keys = parse_matrix(raw).keys()
    for key in keys:
        path = member.log_of(key)
        if path.exists() and path.stat().st_mtime >= since:
            outcome = member.outcome_of(key, 0, 0.0)
            trained += [str(key)] * ("train" in outcome.ran)
            restored += [str(key)] * ("train" in outcome.restored)
    return Round(trained=tuple(trained), restored=tuple(restored), candidate=chosen_key())


def export(key: str, raw: Mapping[str, Any]) -> None:
    """Unless there is one of what lies here. In a process of its own, which imports torch."""
    from ..shared.exported.current import is_current, options

    if is_current(key, tool_settings(ServeParams, raw, "serve").reading):
        return
    run([sys.executable, "-m", "stages", "export", key, *options(key)], f"the export of {key}")


def in_words(champion: Contender | None) -> str:
    return "none yet" if champion is None else log.in_words(champion.model)


def watch(champion: Contender, raw: Mapping[str, Any]) -> tuple[str, str]:
    """(verdict about images that the champion does not know, why there is none). Both are empty where there are no such
    images. A drift that cannot be measured does not end the round: it decides nothing."""
    from ..drift import read

    try:
        if not read.unknown(champion.export):
            return "", ""
        say("drift")
        new = read.of_study(champion.export)
        return drift.watch(champion.export, new, tool_settings(DriftParams, raw, "drift"), raw).name, ""
    except UserError as error:
        say(f"drift could not be measured: {error}")
        return "", in_public(error)
    except Exception as error:
        print(without_credentials("".join(traceback.format_exception(error))), file=sys.stderr, end="")
        say(f"drift could not be measured: {in_public(error)}")
        return "", in_public(error)


def in_public(error: Exception) -> str:
    """What the summary says of an error: no name of an image, which may be that of a patient."""
    if isinstance(error, UnusableImage):
        return "An image of data/raw.zip, or its mask, cannot be used. The log of this round says which one and why."
    if isinstance(error, UserError):
        return str(error)
    return f"Unexpected error: {type(error).__name__}. The log of this round has the details."


def judge(made: Round, champion: Contender | None, raw: Mapping[str, Any], promote: bool) -> Round:
    """Ask the gate, unless the candidate is the champion, or has been judged against it and nothing is new: every
    question wears the test images. A promotion needs a decision of this round: reports/gate may be of another model, or
    may have been left on another machine."""
    from ..registry import images
    from ..registry.gate import Rules, digest, tested_on
    from ..shared.exported.export import ROOT, Export

    own = digest(Export.read(ROOT / made.candidate))
    if champion is not None and own == champion.model.digest:
        return made
    question = Question(
        candidate=own,
        champion=champion.model.digest if champion else None,
        test=tested_on(images.today()).fingerprint,
        rules=Rules.of(raw).digest,
    )
    before = judged_before(log.read(tool_settings(RegistryParams, raw, "registry").name), question)
    if before is not None and not made.trained and not made.restored:
        outcome = VERDICTS[str(before.verdict)]
        if not (outcome == "passed" and promote):
            return replace(made, outcome=outcome, judged=before)
    say("gate")
    decision = registry.gate(made.candidate, raw)
    return replace(made, outcome=VERDICTS[decision.verdict], decision=decision)


@dataclass(frozen=True)
class Question:
    """What a decision of the gate depends on. candidate, champion, rules: digests. test: fingerprint of the images."""

    candidate: str
    champion: str | None
    test: str
    rules: str


def judged_before(entries: list[log.Entry], question: Question) -> log.Entry | None:
    """The last decision about this very question; None where it is to be asked, or asked again: the candidate was
    rejected for a temporary reason, or it was rolled back or brought back after the decision."""
    own = [i for i, entry in enumerate(entries) if entry.event == "gate" and asked(entry) == question]
    if not own or entries[own[-1]].temporary:
        return None
    then, now = (log.objection(known, question.candidate) for known in (entries[: own[-1]], entries))
    return entries[own[-1]] if then == now else None


def asked(entry: log.Entry) -> Question | None:
    """None: an earlier version wrote it, which did not say by what settings."""
    if entry.candidate is None or entry.test is None or entry.rules is None:
        return None
    champion = entry.champion.digest if entry.champion else None
    return Question(entry.candidate.digest, champion, entry.test.fingerprint, entry.rules)
