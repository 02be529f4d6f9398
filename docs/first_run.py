"""Writes the numbers of the README's first answer anew, from a finished run of the default study:

python docs/first_run.py

Every number is a range over the seeds of one run. Another processor gives other last digits.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
START, END = "<!-- docs/first_run.py -->\n", "<!-- end -->\n"
METRICS = {"auroc": "AUROC", "balanced_accuracy": "balanced accuracy"}


def main() -> None:
    reports = ROOT / "reports/compare"
    board, contrasts = pd.read_csv(reports / "leaderboard.csv"), pd.read_csv(reports / "contrasts.csv")
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(START)
    readme.write_text(before + START + table(board, contrasts) + END + rest.partition(END)[2], encoding="utf-8")


def table(board: pd.DataFrame, contrasts: pd.DataFrame) -> str:
    """One row per strategy and share of the patients: ranges over seeds, and the verdict on its mean."""
    trained = board[board["kind"] == "model"]
    groups = trained.assign(share=trained["sample"].str.partition("_")[0]).groupby(["share", "strategy"])
    rows = []
    for (_, strategy), models in groups:
        images = models["train_images"]
        same = contrasts[
            (contrasts["strategy"] == strategy) & (contrasts["train_images"].between(images.min(), images.max()))
        ]
        verdict = same["verdict"].item() if len(same) else "–"
        cells = [span(models[metric], 2) for metric in METRICS]
        rows.append((images.mean(), -models["auroc"].mean(), [strategy, span(images, 0), *cells, verdict]))
    head = ["strategy", "training images", *METRICS.values(), "mean AUROC against from_scratch"]
    lines = [head, ["---"] * len(head), *(cells for *_, cells in sorted(rows))]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def span(values: pd.Series, digits: int) -> str:
    low, high = f"{values.min():.{digits}f}", f"{values.max():.{digits}f}"
    return low if low == high else f"{low}–{high}"


if __name__ == "__main__":
    main()
