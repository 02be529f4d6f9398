"""A whole round: pull → `make run` → export → drift → gate → push → promote, if asked → a summary. The same at home and
in .github/workflows/retrain.yml. A tool above the other tools, which it calls.

params.py    the section `retrain` of params.yaml
command.py   the command and its exit codes
loop.py      the round, step by step
remote.py    DVC's remote: what the last round left, and what this one leaves
summary.py   reports/retrain/summary.md, which GitHub shows as the summary of the job
"""

from .command import add_commands
from .params import Params

__all__ = ["Params", "add_commands"]
