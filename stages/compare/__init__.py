"""compare: the files of every model -> one leaderboard, figures and a report that opens without a network.

Reads reports/train, evaluate and explain of the keys that params.yaml lists now, never what merely lies there. A model
whose files are not all there is marked as missing; the rest is compared.
Imports no torch: a comparison needs no weights.
"""

from __future__ import annotations

from ..shared.core.job import Job, Result
from .params import Params

__all__ = ["Params", "run", "show"]


def run(params: Params, job: Job) -> Result:
    """Write reports/compare/.

    Raises:
        UserError: the matrix is empty or no model of it complete; files are stale or of other images than the rest.
    """
    from . import stage

    return stage.run(params, job)


def show() -> None:
    """Print the leaderboard. Raises UserError: nothing has been compared yet."""
    from . import terminal

    terminal.show()
