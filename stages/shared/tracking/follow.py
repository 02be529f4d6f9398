"""python -m stages.shared.tracking.follow models:/name@alias SECONDS

Watches an alias of the registry for a server, which therefore needs no MLflow. Asks every so many seconds and prints a
JSON line whenever the answer has changed:

{"version": "models:/name/3", "path": "…"}   the export of that version, on this machine
{"absent": "…"}                              nobody has that alias, and why
{"error": "…"}                               the registry does not answer, or that version has no export

Ends when its standard input does, and so with the server.
"""

from __future__ import annotations

import json
import os
import select
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from ..core.errors import UserError
from .aliases import open_registry
from .store import QUIET, check_usable, store


def main(uri: str, seconds: str) -> int:
    os.environ.update({**QUIET, **os.environ})  # before MLflow is imported
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # MLflow prints on stdout as it likes: to stderr from here on
    last: dict[str, str] = {}
    while True:
        answer = look(uri)
        if answer != last:
            print(json.dumps(answer), file=answers, flush=True)
            last = answer
        if select.select([sys.stdin], [], [], float(seconds))[0]:
            return 0


def look(uri: str) -> dict[str, str]:
    """uri: models:/name@alias."""
    name, _, alias = uri.removeprefix("models:/").partition("@")
    address, _ = store()
    try:
        check_usable(address)
        if address.startswith("sqlite:") and not has_models(Path(address.removeprefix("sqlite:///"))):
            return {"absent": f"{uri}: no model is registered yet"}
        registry = open_registry(name)
        version = registry.alias(alias)
        if version is None:
            return {"absent": f"{uri}: no version of {name} is its {alias}"}
        return {"version": f"models:/{name}/{version.number}", "path": str(registry.export(version))}
    except UserError as error:
        return {"error": str(error)}
    except OSError as error:  # a full disk, a network: the next look may be luckier
        return {"error": f"{uri}: cannot be fetched or kept on this machine ({error.strerror or type(error).__name__})"}


def has_models(database: Path) -> bool:
    """Asked without MLflow, which would make the tables, perhaps while a stage does so too."""
    if not database.exists():
        return False
    with closing(sqlite3.connect(database)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE name = 'registered_model_aliases'")
        return tables.fetchone() is not None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
