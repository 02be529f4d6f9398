"""Are new images like those that the model was tested on? `drift FOLDER`, `drift --served`, `drift --study`. A tool
above the stages (tools.py). An alarm is a reason to look and to train again, never to promote.

params.py     the section `drift` of params.yaml
command.py    the command, and `watch`, which other tools call
read.py       new images (of a folder, of the study) and the reference, as the statistics see them
server.py     the same of a server's log, and the export of the model that answered
statistics/   do two samples differ, in what, by how much
verdict.py    the numbers -> a name: prevalence, acquisition, population
sentences.py  the verdict in words, for the terminal, Markdown and the page
report.py     reports/drift/: the page, drift.md, drift.json
figures.py    what the page shows
"""

from .command import add_commands
from .params import Params

__all__ = ["Params", "add_commands"]
