"""Which model is in use: `gate` judges a new one against the champion, `promote` puts it in its place, `rollback` goes
back, `log` tells what happened.

params.py     what a user may say
command.py    the four commands; `gate` and `promote` for tools above
gate.py       both models on today's test images -> a decision, reports/gate, a line of the log
images.py     today's test images, without those of patients that a model learned from; what a model says of them
judge.py      two tables of predictions -> criteria: pass, fail or undecided
decision.py   what a gate leaves: criteria, verdict, and on whom they rest
wear.py       how often these test images have decided already
report.py     the decision as text, Markdown and HTML
promote.py    the aliases of the registry, changed so that a kill half-way is repaired
log.py        champions.jsonl: every decision and every change of the champion; kept in git
"""

from .command import add_commands
from .params import Params

__all__ = ["Params", "add_commands"]
