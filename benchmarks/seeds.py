"""Do the report's claims about strategies hold? One strategy, trained again and again with nothing but another seed.

    python benchmarks/seeds.py                                     # the phantom, from scratch
    python benchmarks/seeds.py --params FILE --fraction 0.3        # another study, as `python -m stages use` writes it

Two sets of these trainings are compared as the report compares two strategies. They are the same strategy, so a
difference that it claims between strategies is false. README.md of this folder says what the columns mean.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from trainings import parser, prepared, trained

from stages.compare.numbers.draws import Draws
from stages.compare.numbers.repeats import contrasts
from stages.compare.page.sentences import verdict
from stages.shared.core.files import read_json
from stages.shared.core.paths import report_dir
from stages.shared.measures import MEASURES

MEASURE = MEASURES["classification"].metrics["auroc"]
SIDES = ("first", "second")
Sets = tuple[Sequence[int], Sequence[int]]


def main() -> None:
    options = arguments()
    with prepared(options) as raw:
        rows = pd.DataFrame([trained(raw, options, options.strategy, seed) for seed in range(options.trainings)])
        draws = draws_of(rows)
    print("\n".join(report(rows, draws, options)))


def arguments() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--strategy", default="from_scratch", help="of the study (default from_scratch)")
    options.add_argument("--trainings", type=int, default=30)
    options.add_argument("--pairs", type=int, default=1000, help="of sets of two or three, at random (default 1000)")
    return options.parse_args()


def draws_of(rows: pd.DataFrame) -> Draws:
    """From what evaluate left of these trainings."""
    folders = [report_dir("evaluate") / key for key in rows["key"]]
    test = pd.read_parquet(folders[0] / "predictions.parquet").query("split == 'test'")
    return Draws(
        point=rows["auroc"].to_numpy(float),
        replicates=np.stack([pd.read_parquet(folder / "draws.parquet")["auroc"].to_numpy(float) for folder in folders]),
        clusters=int(test["group"].nunique()),
        level=read_json(folders[0] / "metrics.json")["confidence"],
        measure=MEASURE,
    )


def report(rows: pd.DataFrame, draws: Draws, options: argparse.Namespace) -> Iterator[str]:
    point, over_patients = draws.point, np.diff(draws.replicates, axis=0).std(axis=1).mean()
    yield (
        f"{len(rows)} trainings, {options.backbone} {options.strategy}, {rows.train_images[0]} training images, "
        f"{options.epochs} epochs. Test AUROC {point.mean():.3f}, {point.min():.3f} to {point.max():.3f}. The "
        f"difference of two has a standard deviation of {2**0.5 * point.std(ddof=1):.3f} over seeds and of "
        f"{over_patients:.3f} over {draws.clusters} test patients.\n"
    )
    yield "| seeds of each | pairs | intervals without zero | half width, median | the page speaks of |"
    yield "|---|---|---|---|---|"
    examples = []
    for seeds in (1, 2, 3):
        sets = disjoint(len(rows), seeds, options.pairs)
        answers = pd.concat([compared(rows, draws, pair) for pair in sets], ignore_index=True)
        claimed = answers["verdict"].to_numpy() != "not shown to differ"
        half = (answers["high"] - answers["low"]).median() / 2
        error = jackknife(claimed, sets, len(rows))
        about = "these two models" if seeds == 1 else "the strategies"
        yield f"| {seeds} | {len(sets):,} | {claimed.mean():.3f} ± {error:.3f} | {half:.3f} | {about} |"
        examples.append(f"{seeds}: “{verdict(answers.iloc[[claimed.argmax()]], SIDES[0], MEASURE)}”")
    yield from ["\nOne of these pairs, in the words of the page:", *examples]


def disjoint(count: int, seeds: int, pairs: int) -> list[Sets]:
    """All pairs of single trainings; of larger sets, which are very many, so many at random."""
    if seeds == 1:
        return [([a], [b]) for a, b in combinations(range(count), 2)]
    rng = np.random.default_rng(seeds)
    orders = (rng.permutation(count)[: 2 * seeds] for _ in range(pairs))
    return [(order[:seeds].tolist(), order[seeds:].tolist()) for order in orders]


def compared(rows: pd.DataFrame, draws: Draws, sets: Sets) -> pd.DataFrame:
    """The report's row of the contrast between the two. Paired, as strategies with the same seeds are: here, where the
    same seed would be the same training, any two make a pair."""
    sides = [rows.iloc[at].assign(strategy=name, seed=range(len(at))) for name, at in zip(SIDES, sets, strict=True)]
    table = pd.concat([side.assign(at=at) for side, at in zip(sides, sets, strict=True)])
    return contrasts(table, draws, SIDES[0])


def jackknife(claimed: np.ndarray, sets: Sequence[Sets], count: int) -> float:
    """Standard error of the share, over the trainings: pairs that share one are not independent."""
    members = np.zeros((len(sets), count), bool)
    for own, (first, second) in zip(members, sets, strict=True):
        own[[*first, *second]] = True
    without = np.array([claimed[~members[:, i]].mean() for i in range(count)])
    return float(((count - 1) * without.var()) ** 0.5)


if __name__ == "__main__":
    main()
