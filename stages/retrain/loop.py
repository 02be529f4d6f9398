"""The round, step by step."""

from __future__ import annotations

import subprocess
import sys
import time
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
from ..shared.core.errors import UserError
from ..shared.exported.chosen import chosen_key
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
    of the gate, where it was not asked again. drift: the verdict. remote: its name. version: of the new champion."""

    outcome: Outcome = "unchanged"
    trained: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    candidate: str = ""
    champion: str = ""
    decision: Decision | None = None
    judged: log.Entry | None = None
    drift: str = ""
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
        made = replace(made, drift=watch(champion, raw))
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
    from ..shared.exported.current import is_current

    if is_current(key, tool_settings(ServeParams, raw, "serve").reading):
        return
    run([sys.executable, "-m", "stages", "export", key], f"the export of {key}")


def in_words(champion: Contender | None) -> str:
    return "none yet" if champion is None else log.in_words(champion.model)


def watch(champion: Contender, raw: Mapping[str, Any]) -> str:
    """The verdict about images that the champion does not know; empty where there are none."""
    from ..drift import read

    if not read.unknown(champion.export):
        return ""
    say("drift")
    findings = drift.watch(
        champion.export, read.of_study(champion.export), tool_settings(DriftParams, raw, "drift"), raw
    )
    return findings.name


def judge(made: Round, champion: Contender | None, raw: Mapping[str, Any], promote: bool) -> Round:
    """Ask the gate, unless the candidate is the champion, or has been judged against it and nothing is new: every
    question wears the test images. A promotion needs a decision of this round: reports/gate may be of another model, or
    may have been left on another machine."""
    from ..registry import images
    from ..registry.gate import digest, tested_on
    from ..shared.exported.export import ROOT, Export

    own = digest(Export.read(ROOT / made.candidate))
    if champion is not None and own == champion.model.digest:
        return made
    name = tool_settings(RegistryParams, raw, "registry").name
    today = tested_on(images.today()).fingerprint
    before = judged_before(log.read(name), own, champion.model.digest if champion else None, today)
    if before is not None and not made.trained and not made.restored:
        outcome = VERDICTS[str(before.verdict)]
        if not (outcome == "passed" and promote):
            return replace(made, outcome=outcome, judged=before)
    say("gate")
    decision = registry.gate(made.candidate, raw)
    return replace(made, outcome=VERDICTS[decision.verdict], decision=decision)


def judged_before(entries: list[log.Entry], candidate: str, champion: str | None, today: str) -> log.Entry | None:
    """The last decision about these two models, by their digests, on these test images, by their fingerprint."""
    own = [
        entry
        for entry in entries
        if entry.event == "gate"
        and entry.candidate is not None
        and entry.candidate.digest == candidate
        and (entry.champion.digest if entry.champion else None) == champion
        and entry.test is not None
        and entry.test.fingerprint == today
    ]
    return own[-1] if own else None
