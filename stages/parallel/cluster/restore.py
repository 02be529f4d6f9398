"""Results out of DVC's run-cache, into the workspace and dvc.lock, without running anything."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...shared.core.errors import UserError
from .. import schedule
from ..member import LOGS, dvc
from ..schedule import Interruptions

LOG = LOGS / "restore.log"


def restore(targets: Sequence[str], environment: Mapping[str, str], received: Interruptions) -> list[str]:
    """Of the targets, those that the remote has no result for. The others are up to date then.

    Raises:
        UserError: the remote cannot be read.
    """
    from ..dvc import RESTORE

    if not targets:
        return []
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("wb") as log:
        command = dvc("repro", "--pull", "--keep-going", "--single-item", *targets)
        code = schedule.wait(schedule.spawn(command, {**environment, RESTORE: "1"}, log), received)
    missing = set(re.findall(r"'([^' ]+)'", "".join(re.findall(r"^ERROR: failed to reproduce.*", read(), flags=re.M))))
    if code and not missing & set(targets):
        raise UserError(f"Results cannot be restored from the DVC remote: {last_line()} (log: {LOG})")
    return [target for target in targets if target in missing]


def read() -> str:
    return Path(LOG).read_text(encoding="utf-8", errors="replace")


def last_line() -> str:
    return next((line for line in reversed(read().splitlines()) if line.strip()), "no message")


def lines_about(key: str) -> str:
    """What the log says of this member."""
    return "".join(line for line in read().splitlines(keepends=True) if f"@{key}'" in line)
