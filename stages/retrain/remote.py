"""DVC's remote: what the last round left comes from there, and what this one leaves goes there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from ..shared.core.credentials import without_credentials
from ..shared.core.errors import UserError, unknown

LAST = 6  # lines of DVC's output that are printed


def dvc(*arguments: str, remedy: str) -> str:
    """DVC's output.

    Raises:
        UserError: it failed. Its last lines are printed here and stand in no message: they may name files of patients,
            and messages go into the summary.
    """
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-LAST:]
        print(without_credentials("\n".join(lines)), file=sys.stderr)
        raise UserError(f"`dvc {' '.join(arguments)}` failed; the log has its last lines. {remedy}")
    return done.stdout


def remotes() -> dict[str, str]:
    """Address of each remote, by name."""
    listed = dvc("remote", "list", remedy="Is this the root of the repository, and is there a .dvc folder?")
    pairs = [line.split(maxsplit=1) for line in listed.splitlines() if line.strip()]
    return {name: address.removesuffix("(default)").strip() for name, address in pairs}


def chosen(remote: str | None) -> tuple[str, str] | None:
    """(name, address) of the remote; None where there is none.

    Raises:
        UserError: the one that is named does not exist, or there are several and no default.
    """
    known = remotes()
    if remote is not None:
        if remote not in known:
            raise unknown("params.yaml: retrain.remote", remote, known)
        return remote, known[remote]
    if not known:
        return None
    config = ["config", "core.remote"]
    done = subprocess.run([sys.executable, "-m", "dvc", *config], capture_output=True, text=True, check=False)
    default = done.stdout.strip() or (next(iter(known)) if len(known) == 1 else "")
    if default not in known:
        raise UserError(
            f"DVC has {len(known)} remotes ({', '.join(known)}) and no default. Name one: retrain.remote, or "
            "`dvc remote default NAME`."
        )
    return default, known[default]


def pull(remote: tuple[str, str]) -> None:
    """Outputs that dvc.lock names, and what DVC remembers of earlier runs. What nobody has pushed yet is made."""
    options = ["--allow-missing", *run_cache(remote)]
    dvc("pull", "--remote", remote[0], *options, remedy=reach(remote))


def push(remote: tuple[str, str]) -> None:
    dvc("push", "--remote", remote[0], *run_cache(remote), remedy=reach(remote))


def run_cache(remote: tuple[str, str]) -> Sequence[str]:
    """DVC cannot keep its list of runs on a web server."""
    return [] if remote[1].startswith("http") else ["--run-cache"]


def reach(remote: tuple[str, str]) -> str:
    return f"Can {remote[0]} be reached, and are its credentials set (docs/retraining.md)?"
