"""What a command says of itself under --help: what it does, what it reads and writes, exit codes, and an example."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

WIDTH = 100
PIPELINE = Path(__file__).parents[1] / "dvc.yaml"
EVERY = """Exit codes of every command: 0 done; 1 failed, and the last lines say why and what to do; 2 the
command line is wrong; 130 interrupted by Ctrl-C; 143 terminated. gate, drift and retrain have further ones.
Settings stand in params.yaml, and docs/params.md explains each."""


class Parser(argparse.ArgumentParser):
    """Keeps the lines of its description. `describe`: makes the description when somebody asks for it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*arguments, **options)
        self.describe: Callable[[], str] | None = None

    def format_help(self) -> str:
        if self.describe is not None:
            self.description = self.describe()
        return super().format_help()


def description(does: str, *, reads: str, writes: str, example: str, codes: str = "0 done, 1 failed") -> str:
    """The description of a command. does: sentences. example: a whole command line."""
    parts = {"Reads": reads, "Writes": writes, "Exit codes": codes, "Example": example}
    lines = [textwrap.fill(does, WIDTH), ""]
    for name, text in parts.items():
        lines += textwrap.wrap(
            text, WIDTH, initial_indent=f"{name + ':':12} ", subsequent_indent=" " * 13, break_on_hyphens=False
        )
    return "\n".join(lines)


def of_stage(stage: str, does: str, per_member: bool) -> str:
    """The description of a stage, from dvc.yaml. does: one sentence. per_member: it runs once for each model."""
    from .shared.core.settings import read

    pipeline: Mapping[str, Any] = read(PIPELINE)["stages"][stage]
    files = [dep for dep in pipeline["deps"] if not dep.startswith("stages/")]
    made = [*pipeline["outs"], *(name for entry in pipeline.get("metrics", []) for name in entry)]
    key = " --backbone small_cnn --strategy fine_tune --sample full" if per_member else ""
    return description(
        f"{does} DVC calls this (`dvc repro`, `make run`) where something that it reads has changed; called by hand it "
        "always runs, and DVC does not record what it wrote. Its run is in MLflow.",
        reads=", ".join(["params.yaml", *map(plain, files)]),
        writes=", ".join(map(plain, made)),
        example=f"python -m stages {stage}{key}",
    )


def plain(path: str) -> str:
    """A path of dvc.yaml for people."""
    if path.startswith("${") and path.endswith("}"):  # a file or folder that the user named
        return f"what {path[2:-1]} names"
    return path.replace("${key}", "<key>")
