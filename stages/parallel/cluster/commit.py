"""The commit that workers run: it has to say everything, and they have to be able to clone it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ...shared.core.errors import UserError

OUTPUTS = ("dvc.lock", "reports/compare/metrics.json")  # which the pipeline writes and git tracks
SHOWN = 10  # files that a message names


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def clean() -> str:
    """The commit of this folder.

    Raises:
        UserError: no commit yet, or files that git does not have as they are here; names them.
    """
    listed = git("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all").split("\0")
    changed = [entry[3:] for entry in listed if entry and entry[3:] not in OUTPUTS]
    if changed:
        more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
        raise UserError(
            f"Workers run a commit, and these files are not committed: {', '.join(changed[:SHOWN])}{more}. Commit them "
            "(git commit), or let git ignore those that are no part of the study."
        )
    return git("rev-parse", "--verify", "HEAD").strip()


def check_published(commit: str, repository: str) -> None:
    """Raises UserError when nothing can be cloned there, or when it surely lacks the commit: all branches there are
    known here, and none contains it. Otherwise the workers see."""
    tips = {line.split("\t")[0] for line in git("ls-remote", "--heads", "--tags", repository).splitlines()}
    known = [tip for tip in tips if succeeds("cat-file", "-e", tip)]
    if any(succeeds("merge-base", "--is-ancestor", commit, tip) for tip in known) or len(known) < len(tips):
        return
    raise UserError(
        f"params.yaml: parallel.cluster.repository: {repository} does not have commit {commit[:12]}, which the workers "
        "have to run. Push it (git push)."
    )


def succeeds(*arguments: str) -> bool:
    return subprocess.run(["git", *arguments], capture_output=True, check=False).returncode == 0


def repository(given: str | None) -> str:
    """What workers clone: what params.yaml says, else this folder. Paths are made absolute."""
    here = Path(given or ".").expanduser()
    return str(here.resolve()) if given is None or here.exists() else given
