"""champions.jsonl: one line for every decision of the gate and every change of the champion.

It lies at the top of the study and is kept in git, because MLflow keeps no history of its aliases: who was champion in
March, and why, would be lost with the next promotion. It names no patient and no image.

A change is written down before it is made (`begun`) and once more when the registry has it (`done`), so that the next
command can finish what a kill or a server that is away has left undone.
"""

from __future__ import annotations

import getpass
import json
import os
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field, ValidationError

from ..shared.core.environment import commit
from ..shared.core.errors import UserError
from ..shared.core.paths import project_root
from ..shared.core.settings import Settings

NAME = "champions.jsonl"


class Model(Settings):
    """A model. `digest`: of its network and thresholds (gate.py). `version`: in the registry; null: not registered."""

    key: str
    digest: str
    version: str | None = None


class TestImages(Settings):
    """What a decision rests on. `fingerprint`: of all images, with label, patient, group, site, folder and metadata.
    `sketch`: the smallest digests of the images (wear.py), from which the share is estimated that two sets have in
    common."""

    fingerprint: str
    images: int
    patients: int
    sketch: list[str]


class Entry(Settings):
    """One line. `id`: shared by the two lines of one change."""

    event: Literal["gate", "promote", "rollback"]
    state: Literal["decided", "begun", "done", "abandoned"]
    id: str
    at: str
    """UTC."""
    who: str
    commit: str | None = None
    """Of the code and params.yaml."""
    name: str
    """Of the registered model."""
    verdict: str | None = None
    reason: str = ""
    candidate: Model | None = None
    champion: Model | None = None
    """Before the event; null: there was none."""
    previous: Model | None = None
    """The alias before the event."""
    test: TestImages | None = None
    rules: str | None = None
    """Of a decision: digest of the settings that it rests on (gate.Rules); null: an earlier version wrote it."""
    temporary: bool = Field(default=False, validation_alias=AliasChoices("temporary", "passing"))
    """Of a decision: the candidate was rejected only for what may be otherwise tomorrow (Decision.temporary). Earlier
    versions wrote `passing`."""


def path() -> Path:
    return project_root() / NAME


def read(name: str) -> list[Entry]:
    """Those of one registered model, the oldest first.

    Raises:
        UserError: a line is damaged.
    """
    try:
        lines = path().read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    entries = []
    for number, line in enumerate(lines, start=1):
        try:
            entries.append(Entry.model_validate_json(line))
        except ValidationError as error:
            fault = error.errors()[0]
            raise UserError(
                f"{path()}: line {number} is no entry of this log ({fault['msg']}). `git log -p {NAME}` shows how it "
                "was; correct the line, or remove it if it is the unfinished last one."
            ) from None
    return [entry for entry in entries if entry.name == name]


def append(entry: Entry) -> None:
    """One write at the end of the file, which is on the disk when this returns. It begins a line of its own, also where
    somebody has edited the file and left the last line without an end."""
    line = json.dumps(entry.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False) + "\n"
    descriptor = os.open(path(), os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        whole = size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"
        os.write(descriptor, (line if whole else "\n" + line).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def stamped(**values: Any) -> Entry:
    """An entry of this moment, this user and this commit."""
    now = datetime.now(UTC)
    values.setdefault("id", f"{now:%Y%m%dT%H%M%S}-{os.urandom(3).hex()}")
    return Entry(at=f"{now:%Y-%m-%dT%H:%M:%SZ}", who=user(), commit=commit(), **values)


def user() -> str:
    """Who asks: as git knows them, else GitHub, else the machine."""
    git = subprocess.run(
        ["git", "config", "user.name"], cwd=project_root(), capture_output=True, text=True, check=False
    )
    return git.stdout.strip() or os.environ.get("GITHUB_ACTOR") or getpass.getuser()


def unfinished(entries: Sequence[Entry]) -> list[Entry]:
    """The changes that were begun and are neither done nor abandoned, the oldest first."""
    closed = {entry.id for entry in entries if entry.state in ("done", "abandoned")}
    return [entry for entry in entries if entry.state == "begun" and entry.id not in closed]


def changes(entries: Sequence[Entry]) -> list[Entry]:
    """The changes of the champion that the registry has had, the oldest first, as they were begun."""
    done = {entry.id for entry in entries if entry.state == "done"}
    return [entry for entry in entries if entry.state == "begun" and entry.id in done]


def rolled_back(changes: Sequence[Entry]) -> dict[str, Entry]:
    """The models that a rollback has put out of use and nobody has brought back, by digest, and that rollback.

    `rollback --to` also goes forward again, to a model that was promoted later: that says nothing against the older one
    that was in use in between.
    """
    promoted, back = dict[str, int](), dict[str, Entry]()
    for i, change in enumerate(changes):
        new, old = change.candidate, change.champion
        if new is None:
            continue
        back.pop(new.digest, None)
        if change.event == "promote":
            promoted[new.digest] = i
        elif old is not None and promoted.get(new.digest, -1) <= promoted.get(old.digest, i):
            back[old.digest] = change
    return back


def objection(entries: Sequence[Entry], digest: str) -> str:
    """Why this model may not come in again by itself, and how a person brings it back; empty where it may."""
    back = rolled_back(changes(entries)).get(digest)
    if back is None:
        return ""
    why = f": {back.reason}" if back.reason else ""
    number = back.champion.version if back.champion else ""
    return (
        f"This very model was rolled back on {back.at[:10]} by {back.who}{why}. To bring it back on purpose: "
        f"python -m stages rollback --to {number}."
    )


def lines(entries: Sequence[Entry]) -> list[str]:
    """For people, one for each decision and each change."""
    states = {entry.id: entry.state for entry in entries}  # the last one of each
    shown = [entry for entry in entries if entry.state in ("decided", "begun")]
    return [line(entry, states[entry.id]) for entry in shown]


def line(entry: Entry, state: str) -> str:
    candidate, before = in_words(entry.candidate), in_words(entry.champion)
    what = {
        "gate": f"{entry.verdict}: {candidate} against {before}",
        "promote": f"{candidate} in place of {before}",
        "rollback": f"back to {candidate} from {before}",
    }[entry.event]
    unfinished = {"begun": " (not in effect yet)", "abandoned": " (abandoned)"}.get(state, "")
    why = f" {entry.reason}" if entry.reason else ""
    return f"{entry.at.replace('T', ' ').rstrip('Z')}  {entry.event:8}  {what}{unfinished}.{why} [{entry.who}]"


def in_words(model: Model | None) -> str:
    if model is None:
        return "no champion"
    return f"{model.key} (version {model.version})" if model.version else model.key
