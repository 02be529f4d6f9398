"""The names of the tasks. How a task trains is in shared/tasks, how it is judged in shared/measures."""

from __future__ import annotations

from typing import Literal

TaskName = Literal["classification"]

PROBABILITY = "prob_"
"""Before the name of a class: the columns of a prediction table with the probabilities."""
