"""DVC's command line, with a quicker way to note in dvc.lock what a stage has done: `python -m stages.parallel.dvc …`.

After every stage DVC reads and writes the whole file, in pure Python and keeping comments, which a lock does not have.
That takes a second at 60 stages and grows with their number, so a study pays for the square of it. Here libyaml reads
the file, DVC's own writer writes the entry that has changed, and the lines of all others stay as they are.

With LIGHTBOX_RESTORE in the environment no stage runs: one whose result is not in the run-cache fails.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dvc import dvcfile
from dvc.cli import main
from dvc.exceptions import DvcException
from dvc.stage import run
from dvc.utils.serialize import dumps_yaml, modify_yaml, parse_yaml

RESTORE = "LIGHTBOX_RESTORE"  # environment variable
HEAD = "schema: '2.0'\nstages:\n"
ENTRY = re.compile(r"^  (?=\S)", flags=re.M)  # an entry of `stages` begins; its own lines are indented further


@contextmanager
def modify(path: str, fs: Any = None) -> Iterator[dict[str, Any]]:
    """As DVC's `modify_yaml`: the content of the file, to be changed in the block, is then written back."""
    file = Path(path)
    text = file.read_text(encoding="utf-8") if file.name == dvcfile.LOCK_FILE and file.exists() else ""
    if not text.startswith(HEAD):  # dvc.yaml, a new lock, or one of another kind
        with modify_yaml(path, fs=fs) as data:
            yield data
        return
    data = parse_yaml(text, path)
    before = dict(data["stages"])
    yield data
    changed = {name: entry for name, entry in data["stages"].items() if before.get(name) is not entry}
    file.write_text(replaced(text, changed), encoding="utf-8")


def replaced(text: str, changed: dict[str, Any]) -> str:
    """The text of a lock with these entries of `stages`, each at its place, or at the end where it is new."""
    entries = {entry.partition(":\n")[0]: entry for entry in ENTRY.split(text.removeprefix(HEAD))[1:]}
    for name, entry in changed.items():
        entries[name] = dumps_yaml({"schema": "2.0", "stages": {name: entry}}).removeprefix(HEAD).removeprefix("  ")
    return HEAD + "".join(f"  {entry}" for entry in entries.values())


def refuse(stage: Any, **_: Any) -> None:
    raise DvcException(f"the run-cache has no result of '{stage.addressing}' for these inputs")


if __name__ == "__main__":
    dvcfile.modify_yaml = modify
    if RESTORE in os.environ:
        run.cmd_run = refuse
    sys.exit(main())
