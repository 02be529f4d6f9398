"""`python -m stages gate | promote | rollback | log`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..shared.core.errors import UserError
from ..shared.core.settings import read
from ..study import source_in_words, tool_settings
from ..usage import description
from .params import Params

if TYPE_CHECKING:
    from ..shared.exported.export import Export
    from ..shared.tracking.aliases import Registry, Version
    from .decision import Decision
    from .gate import Contender


def add_commands(commands: Any) -> None:
    gate = commands.add_parser(
        "gate",
        help="Judge an exported model against the champion: promote, reject, undecided.",
        description=description(
            "Run candidate and champion on today's test patients, and decide: promote, reject or undecided. Changes no "
            "champion. docs/registry.md explains it.",
            reads="params.yaml (section registry), models/onnx/<key>/, the registry, data/raw.zip, data/processed",
            writes="reports/gate/, a line of champions.jsonl; with --challenger the alias of the registry",
            example="python -m stages gate small_cnn-fine_tune-full",
            codes="0 promote, 3 reject, 4 undecided, 1 failed",
        ),
    )
    gate.add_argument("key", nargs="?", help="of the candidate, exported; default: the model that validation chose")
    gate.add_argument("--challenger", action="store_true", help="register it as `challenger`, unless it is rejected")
    gate.set_defaults(action=run_gate, goes_on="python -m stages gate")
    promote = commands.add_parser(
        "promote",
        help="Make the model that passed the gate the champion.",
        description=description(
            "Make the candidate of the last gate the champion; the old one becomes `previous`. Refuses where the gate "
            "did not pass it, or the champion, the test images or the settings have changed since. Servers follow.",
            reads="params.yaml, data/, reports/gate/, models/<key>/, models/onnx/<key>/",
            writes="the registry (a version and its aliases), champions.jsonl: commit it",
            example='python -m stages promote --why "trained on the films of May"',
        ),
    )
    promote.add_argument("--anyway", default="", metavar="REASON", help="against the gate's verdict, for this reason")
    promote.add_argument("--why", default="", help="a remark for the log")
    promote.set_defaults(action=run_promote, goes_on="python -m stages promote")
    rollback = commands.add_parser(
        "rollback",
        help="Back to the previous champion.",
        description=description(
            "Make the previous version the champion again, or any other. Doing it twice is the same as once. Where the "
            "registry cannot be reached, the next command that reaches it makes the rollback.",
            reads="champions.jsonl, the registry",
            writes="the registry (aliases), champions.jsonl: commit it",
            example='python -m stages rollback --why "misses effusions"',
            codes="0 done, 1 failed, or noted and not in effect yet",
        ),
    )
    rollback.add_argument("--to", metavar="VERSION", help="to this version instead")
    rollback.add_argument("--why", default="", help="a remark for the log")
    rollback.set_defaults(action=run_rollback, goes_on="python -m stages rollback")
    log = commands.add_parser(
        "log",
        help="Who was champion, since when and why.",
        description=description(
            "Print every decision of the gate and every change of the champion, and where the aliases point now. Also "
            "finishes a change that was begun and interrupted.",
            reads="champions.jsonl, the registry",
            writes="nothing, unless a change was interrupted",
            example="python -m stages log",
        ),
    )
    log.set_defaults(action=run_log)


def run_gate(arguments: argparse.Namespace) -> int:
    decision = gate(arguments.key)
    if arguments.challenger and decision.verdict != "reject":
        challenge(decision)
    return decision.exit_code


def gate(key: str | None = None, raw: Mapping[str, Any] | None = None) -> Decision:
    """Judge a candidate; print the decision, write reports/gate, and append it to the log.

    Raises:
        UserError: it is not exported, the registry cannot be reached, or data/ is not there.
    """
    from ..shared.exported.chosen import chosen_key
    from ..shared.exported.export import ROOT, Export
    from . import log, report
    from .gate import Contender, Rules, decide

    rules = Rules.of(raw if raw is not None else read())
    candidate = Contender(Export.read(ROOT / (key or chosen_key())))
    champion = champion_of(rules.params.name)
    decision = decide(candidate, champion, rules)
    report.write(decision)
    if champion is None or decision.candidate.digest != champion.model.digest:
        log.append(
            log.stamped(
                event="gate", state="decided", name=decision.name, verdict=decision.verdict, reason=decision.reason,
                candidate=decision.candidate, champion=decision.champion, test=decision.test, rules=decision.rules,
                temporary=decision.temporary,
            )
        )  # fmt: skip
    for line in report.lines(decision):
        print(line)
    print(f"Report: {report.PAGE}. {NEXT[decision.verdict]}")
    return decision


NEXT = {
    "promote": "To put it in use: python -m stages promote",
    "reject": "The champion stays.",
    "undecided": "The champion stays until there are more test patients.",
}


def champion_of(name: str) -> Contender | None:
    """None where there is none yet.

    Raises:
        UserError: the log knows a champion and the registry does not: it is another registry, where any model would
            pass as the first one.
    """
    from ..shared.exported.export import Export
    from ..shared.tracking.aliases import is_empty
    from . import log
    from .gate import Contender
    from .promote import CHAMPION

    registry = None if is_empty() else opened(name)
    champion = registry.alias(CHAMPION) if registry else None
    if registry is None or champion is None:
        changes = log.changes(log.read(name))
        if changes and (last := changes[-1].candidate):
            raise UserError(
                f"{log.NAME}: version {last.version} of {name} is champion, and this registry has none. Set "
                "MLFLOW_TRACKING_URI to the server that has it (docs/retraining.md). To begin anew, set another "
                "registry.name."
            )
        return None
    folder = registry.export(champion)
    try:
        return Contender(Export.read(folder), champion.number)
    except UserError as error:
        reason = str(error).partition(" Run ")[0]
        raise UserError(
            f"Champion, version {champion.number} of {name}: {reason} Delete {folder.parents[1]}, and it is downloaded "
            "again; if it stays so, go back: python -m stages rollback"
        ) from None


def opened(name: str) -> Registry:
    """The registry, after what was begun is finished."""
    from ..shared.tracking.aliases import open_registry
    from .promote import finish, one_at_a_time

    registry = open_registry(name)
    with one_at_a_time(name):
        finish(registry)
    return registry


def run_promote(arguments: argparse.Namespace) -> None:
    promote(arguments.anyway, arguments.why)


def promote(anyway: str = "", why: str = "", raw: Mapping[str, Any] | None = None) -> Version:
    """Make the candidate of reports/gate the champion; its version.

    Raises:
        UserError: as promote.promote; the export is not the one that was judged; today's test images or settings are
            others than those that it was judged by.
    """
    from ..shared.exported.export import ROOT, Export
    from . import promote as change
    from .decision import FILE, Decision
    from .gate import digest

    raw = read() if raw is None else raw
    decision = Decision.read()
    check_today(decision, raw)
    export = Export.read(ROOT / decision.candidate.key)
    if digest(export) != decision.candidate.digest:
        raise UserError(f"{export.folder}: not the model that {FILE} judged. Run `python -m stages gate` again.")
    registry = opened(decision.name)
    version = change.promote(registry, decision, lambda: registered(registry, export, decision, raw), anyway, why)
    print(f"Champion of {registry.name}: version {version.number}, {version.key}. Commit champions.jsonl.")
    return version


def challenge(decision: Decision, raw: Mapping[str, Any] | None = None) -> Version:
    """Register the candidate and point `challenger` at it: for servers that let it answer in the shadow."""
    from ..shared.exported.export import ROOT, Export
    from .promote import CHALLENGER, one_at_a_time

    raw, registry = read() if raw is None else raw, opened(decision.name)
    with one_at_a_time(registry.name):
        version = registered(registry, Export.read(ROOT / decision.candidate.key), decision, raw)
        registry.point(CHALLENGER, version.number)
    print(f"Challenger of {registry.name}: version {version.number}, {version.key}.")
    return version


def check_today(decision: Decision, raw: Mapping[str, Any]) -> None:
    """Raises UserError where another model's, other test images or other settings would be asked about today."""
    from . import images
    from .decision import FILE
    from .gate import Rules, tested_on

    rules = Rules.of(raw)
    again = "Run `python -m stages gate` again."
    if decision.name != rules.params.name:
        raise UserError(f"{FILE}: was written for {decision.name}, and registry.name is {rules.params.name}. {again}")
    if decision.rules != rules.digest:
        raise UserError(
            f"{FILE}: {decision.candidate.key} was judged by other settings than params.yaml has now (registry, "
            f"compare.sort_by, evaluate). {again}"
        )
    if decision.test.fingerprint != tested_on(images.today()).fingerprint:
        raise UserError(f"{FILE}: {decision.candidate.key} was judged on other test images than today's. {again}")


def registered(registry: Registry, export: Export, decision: Decision, raw: Mapping[str, Any]) -> Version:
    """The candidate's version; a new one where the registry does not have it."""
    from .. import study
    from ..shared.core.paths import Key, model_dir
    from ..shared.tracking.recording import first_message

    if version := registry.same(decision.candidate.digest):
        return version
    print(f"registering {export.recipe.key} …", file=sys.stderr)
    key = Key(*export.recipe.key.split("-"))
    settings = {name: section for name, section in raw.items() if name not in study.TABLES}
    params = {"gate": {"verdict": decision.verdict, "metric": decision.metric, **decision.judged}}
    about, title = "The model that passed the gate, with its export.", f"{raw['task']}, {source_in_words(raw)}"
    first = first_message("register", key, params, settings, about, title)
    return registry.register(model_dir(key), export.folder, decision.candidate.digest, first)


def run_rollback(arguments: argparse.Namespace) -> int:
    from ..shared.tracking.aliases import is_empty, open_registry
    from . import promote as change

    name = tool_settings(Params, read(), "registry").name
    if is_empty():
        raise UserError(
            "There is no registry here: no mlflow.db, and MLFLOW_TRACKING_URI is not set. Set it to the server that "
            "has the champion, or run this in the repository that promoted it."
        )
    try:
        registry = open_registry(name)
    except UserError as error:
        target, news = change.note_rollback(name, arguments.to, arguments.why)
        print(
            f"{error}\nThe rollback to version {target.version}, {target.key}, is {'' if news else 'already '}noted in "
            "champions.jsonl. It is NOT in effect yet: servers follow the registry. The next gate, promote, rollback "
            "or log that reaches the registry makes it.",
            file=sys.stderr,
        )
        return 1
    champion, changed = change.rollback(registry, arguments.to, arguments.why)
    done = "is champion again. Commit champions.jsonl." if changed else "is the champion already; nothing was changed."
    print(f"{name}: version {champion.number}, {champion.key}, {done}")
    return 0


def run_log(arguments: argparse.Namespace) -> None:
    """Every entry, then the aliases as the registry has them."""
    from ..shared.tracking.aliases import is_empty
    from . import log
    from .promote import CHALLENGER, CHAMPION, PREVIOUS

    name = tool_settings(Params, read(), "registry").name
    entries = log.read(name)
    if not entries:
        print(f"{log.NAME}: nothing yet of {name}. Judge a model: python -m stages gate")
    for line in log.lines(entries):
        print(line)
    if is_empty():
        return
    registry = opened(name)
    for alias in (CHAMPION, PREVIOUS, CHALLENGER):
        if version := registry.alias(alias):
            print(f"{alias}: version {version.number}, {version.key}")
