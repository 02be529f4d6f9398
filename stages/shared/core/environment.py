"""Where a result was made: commit, versions, hardware."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from .hardware import cores
from .paths import project_root

CODE = ("stages", "params.yaml", "dvc.yaml")


def environment(libraries: Sequence[str], device: str | None = None) -> dict[str, str]:
    """What a reader has to know to make a result again. device: the name of the GPU; None: the processor computed."""
    revision = commit()
    edited = " with uncommitted changes" if revision and is_edited() else ""
    return {
        "commit": f"{revision}{edited}" if revision else "unknown",
        "python": platform.python_version(),
        **{name: version(name) for name in libraries},
        "system": f"{platform.system()} {platform.machine()}",
        "hardware": device or f"{processor()}, {cores()} cores",
    }


def commit() -> str | None:
    """The commit that the code and the params come from; None outside git. A queued experiment knows its own."""
    if baseline := os.environ.get("DVC_EXP_BASELINE_REV"):
        return baseline
    if shutil.which("git") is None:
        print("git is not installed, so the commit of the code is not recorded.", file=sys.stderr)
        return None
    git = subprocess.run(
        ["git", "rev-parse", "--verify", "-q", "HEAD"], cwd=project_root(), capture_output=True, text=True, check=False
    )
    return git.stdout.strip() or None


def is_edited() -> bool:
    """Code or params differ from the last commit. A queued experiment's workspace is a commit of its own."""
    if os.environ.get("DVC_EXP_BASELINE_REV"):
        return False
    return (
        subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *CODE], cwd=project_root(), check=False).returncode == 1
    )


def processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
