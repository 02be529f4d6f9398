"""Compare all models: leaderboard, figures and a report that needs no network, in reports/compare/.

Reads reports/train, evaluate, embed and explain of the keys that params.yaml lists now, never what merely lies there. A
model whose files are not all there is marked as missing; the rest is compared.
Imports no torch: a comparison needs no weights.

params.py    the settings
read.py      the files of every model
numbers/     leaderboard, means over repeats, contrasts: by any metric of the task
figures/     the numbers as figures
page/        the report
documents/   model cards, checklists, slides, a PDF
text.py      numbers as text
terminal.py  the leaderboard in the terminal
stage.py     writes reports/compare/
"""

from __future__ import annotations

from ..shared.core.errors import unknown
from ..shared.core.job import Job, Result
from .params import Params

__all__ = ["Params", "check", "run", "show"]


def run(params: Params, job: Job) -> Result:
    """Write reports/compare/.

    Raises:
        UserError: the matrix is empty or no model of it complete; files are stale or of other images than the rest.
    """
    from . import stage

    return stage.run(params, job)


def check(params: Params) -> None:
    """Raises UserError when the task has no metric `sort_by`; the message begins with the field."""
    from ..shared.measures import MEASURES

    metrics = MEASURES[params.task].metrics
    if params.sort_by not in metrics:
        raise unknown(f"sort_by (task: {params.task})", params.sort_by, metrics)


def show() -> None:
    """Print the leaderboard in the terminal.

    Raises:
        UserError: nothing has been compared yet.
    """
    from . import terminal

    terminal.show()
