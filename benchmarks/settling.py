"""BatchNorm's statistics estimated anew before an epoch is judged, against the running ones: who calls one class?

    python benchmarks/settling.py                                  # the phantom, from scratch and fine-tuned
    python benchmarks/settling.py --params FILE --fraction 0.3     # another study, as `python -m stages use` writes it

Every seed is trained twice, with and without. README.md of this folder says what the columns mean.
"""

from __future__ import annotations

import argparse

import pandas as pd
from scipy import stats
from trainings import parser, prepared, trained


def main() -> None:
    options = arguments()
    print("| | trainings | epochs of one class | kept models of one class | balanced accuracy at 0.5 | AUROC |")
    print("|---|---|---|---|---|---|")
    with prepared(options) as raw:
        for strategy in options.strategies:
            ways = {
                name: pd.DataFrame([trained(raw, options, strategy, n, settled) for n in range(options.trainings)])
                for name, settled in (("estimated anew", True), ("running", False))
            }
            for name, rows in ways.items():
                print(line(f"{strategy}, {name}", rows), flush=True)
            print(f"| {strategy}, difference | | | | {difference(*ways.values())} | |", flush=True)


def arguments() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--strategies", nargs="+", default=["from_scratch", "fine_tune"], help="of the study")
    options.add_argument("--trainings", type=int, default=10, help="seeds of each strategy (default 10)")
    return options.parse_args()


def line(name: str, rows: pd.DataFrame) -> str:
    scores = (f"{v.mean():.3f} ({v.min():.3f}–{v.max():.3f})" for v in (rows["balanced_accuracy"], rows["auroc"]))
    cells = [name, str(len(rows)), f"{rows['one_class_epochs'].mean():.1%}", str(rows["one_class"].sum()), *scores]
    return f"| {' | '.join(cells)} |"


def difference(anew: pd.DataFrame, running: pd.DataFrame) -> str:
    """Of balanced accuracy, in pairs of the same seed, with its 95% t interval."""
    pairs = anew["balanced_accuracy"] - running["balanced_accuracy"]
    half = stats.t.ppf(0.975, len(pairs) - 1) * stats.sem(pairs)
    return f"{pairs.mean():+.3f} [{pairs.mean() - half:+.3f}, {pairs.mean() + half:+.3f}]"


if __name__ == "__main__":
    main()
