"""python notebooks/run.py [NAME…]: runs notebooks on the results that lie here, in a kernel each.

Notebooks with their figures go to notebooks/done/, which git ignores: images of patients do not belong in a repository.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
NAMES = ("data", "training", "evaluation", "explanations", "figures")
SECONDS = 120  # of one cell


def run(name: str) -> Path:
    """The notebook with its outputs. Raises CellExecutionError when a cell fails."""
    notebook = jupytext.read(FOLDER / f"{name}.py")
    NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": FOLDER}}).execute()
    done = FOLDER / "done" / f"{name}.ipynb"
    done.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, done)
    return done


def main(names: Sequence[str]) -> None:
    if unknown := [name for name in names if name not in NAMES]:
        sys.exit(f"{unknown[0]}: no notebook. There are: {', '.join(NAMES)}.")
    for name in names or NAMES:
        since = time.monotonic()
        print(f"{run(name)}: {time.monotonic() - since:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
