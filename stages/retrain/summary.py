"""reports/retrain/summary.md. GitHub shows the same text as the summary of the job; there it has no pictures from
files, so its chart is drawn by GitHub itself (Mermaid)."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..drift import report as drift
from ..registry import report as gate
from ..shared.core.files import atomic
from ..shared.core.paths import report_dir
from ..shared.core.words import count, table_row
from .loop import Round

FILE = report_dir("retrain") / "summary.md"
VARIABLE = "GITHUB_STEP_SUMMARY"
LARGEST = 900_000  # bytes; GitHub drops a summary of more than 1 MiB
BOARD = report_dir("compare") / "leaderboard.csv"
ROWS = 12  # of the leaderboard
INTERVALS = report_dir("compare") / "figures" / "intervals.png"


def headline(made: Round) -> str:
    if made.outcome == "promoted":
        return f"Promoted: {made.candidate} is champion, version {made.version}."
    if made.outcome == "passed":
        return f"Passed the gate: {made.candidate}. To put it in use: python -m stages promote."
    if made.outcome == "unchanged":
        return f"Nothing to do: {made.candidate} is the champion already."
    stays = "there is no champion" if made.champion == "none yet" else "the champion stays"
    return f"{'Rejected' if made.outcome == 'rejected' else 'Undecided'}: {made.candidate}; {stays}."


def of_round(made: Round) -> str:
    parts = [f"# Retraining: {made.outcome}", "", f"**{headline(made)}**", "", *steps(made), ""]
    if made.decision is not None:
        parts += [gate.markdown(made.decision)]
    elif made.judged is not None:
        entry = made.judged
        parts += [
            "## Gate: not asked again",
            "",
            f"Nothing is new since {entry.at[:10]}, when it was judged: {entry.verdict}. {entry.reason} Each question "
            "wears the test images.",
            "",
        ]
    if made.not_measured:
        parts += ["## New images: drift not measured", "", *quoted(made.not_measured), ""]
    elif made.drift:
        parts += [drift.MARKDOWN.read_text(encoding="utf-8").replace("## ", "## New images. ", 1)]
    return "\n".join([*parts, *leaderboard()])


def steps(made: Round) -> list[str]:
    """What was done, as a list."""
    trained = f"{count(len(made.trained), 'model')} trained"
    named = f" ({', '.join(made.trained[:6])}{', …' if len(made.trained) > 6 else ''})" if made.trained else ""
    lines = [f"- {trained}{named}"]
    if made.restored:
        lines.append(f"- {len(made.restored)} came from DVC's cache")
    lines.append(f"- chosen by validation: {made.candidate}")
    lines.append(f"- champion when this began: {made.champion}")
    lines.append(f"- remote: {made.remote}" if made.remote else "- no remote: results stay on this machine")
    return lines


def of_failure(reason: str, unfinished: bool = False) -> str:
    """`unfinished`: a change of the champion was begun."""
    text = "\n".join(quoted(reason))
    champion = "A change of the champion was begun: `python -m stages log` finishes it and shows who is champion."
    champion = champion if unfinished else "This round promoted no model."
    return f"# Retraining: failed\n\n**{champion}**\n\n{text}\n"


def quoted(reason: str) -> list[str]:
    """As it is, whatever Markdown would make of it."""
    return [f"    {line}" for line in reason.splitlines()]


def leaderboard(path: Path = BOARD) -> list[str]:
    """The first rows as a table, and as a chart."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "model" and row["status"] != "missing"]
    if not rows:
        return []
    metric, shown = rows[0]["metric"], rows[:ROWS]
    table = [table_row("model", f"{metric} (test)", "interval", f"{metric} (validation)"), "|---|---|---|---|"]
    table += [line(row, metric) for row in shown]
    rest = [f"\n{len(rows) - len(shown)} more in leaderboard.csv."] if len(rows) > len(shown) else []
    return ["## Leaderboard", "", *table, *rest, "", *chart(shown, metric), ""]


def line(model: Mapping[str, str], metric: str) -> str:
    name = f"**{model['key']}** (chosen)" if model["chosen"] == "True" else model["key"]
    interval = f"{number(model[f'{metric}_low'])} to {number(model[f'{metric}_high'])}"
    return table_row(name, number(model[metric]), interval, number(model[f"val_{metric}"]))


def number(text: str) -> str:
    return f"{float(text):.3f}" if text else "–"


def chart(rows: Sequence[Mapping[str, str]], metric: str) -> list[str]:
    """The scores as bars, numbered as the rows of the table."""
    scores = [float(row[metric]) for row in rows if row[metric]]
    if not scores or not 0 <= min(scores) <= max(scores) <= 1:
        return []
    low = max(0.0, min(scores) - 0.1)
    return [
        "```mermaid", "xychart-beta", f'  title "{metric} on test patients, in the order of the table"',
        f"  x-axis [{', '.join(str(i + 1) for i in range(len(scores)))}]", f"  y-axis {low:.2f} --> 1.00",
        f"  bar [{', '.join(f'{score:.4f}' for score in scores)}]", "```",
    ]  # fmt: skip


def pictures(made: Round) -> tuple[Path, ...]:
    """Figures of this round; those of drift may be of an earlier one."""
    shown = [INTERVALS, *((drift.SEPARATION, drift.FACTS) if made.drift else ())]
    return tuple(path for path in shown if path.is_file())


def write(text: str, shown: Sequence[Path] = ()) -> None:
    """Here, with links to the figures, and at the end of the job's summary where this is a job of GitHub."""
    text = cut(text)
    links = [f"![{path.stem}]({os.path.relpath(path, FILE.parent)})" for path in shown]
    with atomic(FILE) as partial:
        partial.write_text("\n".join([text, *links, ""]), encoding="utf-8")
    if place := os.environ.get(VARIABLE):
        with Path(place).open("a", encoding="utf-8") as file:
            file.write(text + "\n")


def cut(text: str) -> str:
    """At a line, where GitHub would drop all of it."""
    data = text.encode()
    if len(data) <= LARGEST:
        return text
    kept = data[:LARGEST].decode(errors="ignore").rpartition("\n")[0]
    return f"{kept}\n\nCut here: the whole is longer than GitHub shows. See {FILE}.\n"
