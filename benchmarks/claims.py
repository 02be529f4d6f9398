"""Do the report's intervals and claims hold? Simulated studies with a known truth, judged by the project's functions.

    python benchmarks/claims.py                  # 200 studies a line: some minutes on one core
    python benchmarks/claims.py --studies 1000   # the digits stand still

Prints two tables: how often an interval includes the truth, and how often a study of equal models claims a difference.
README.md of this folder says what the columns mean.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1]))

from stages.compare.numbers.draws import Contrast, Draws
from stages.evaluate import Params
from stages.evaluate.judge import judge
from stages.shared.measures import MEASURES
from stages.shared.measures.intervals import draws
from stages.shared.measures.statistics import auroc, once
from stages.shared.tasks.classification import predictions

TASK = MEASURES["classification"]
LEVEL, CLASSES = 0.95, ["healthy", "ill"]
Rng = np.random.Generator


def table(truth: np.ndarray, score: np.ndarray, patients: np.ndarray) -> pd.DataFrame:
    """A prediction table of test images; the validation images are the same. `score`: log odds of being ill."""
    index = pd.DataFrame(
        {
            "path": [f"{i:05d}" for i in range(len(truth))],
            "label": pd.Categorical.from_codes(truth, CLASSES),
            "patient": patients,
            "group": patients,
            "split": "test",
        }
    )
    ill = 1 / (1 + np.exp(-score))
    both = pd.concat([index.assign(split="val"), index])
    return predictions(both, np.tile(np.stack([1 - ill, ill], axis=1), (2, 1)), CLASSES)


def scores(truth: np.ndarray, patients: np.ndarray, area: float, alike: float, rng: Rng) -> np.ndarray:
    """Normal scores whose area under the ROC curve is `area`; `alike`: the correlation of images of one patient."""
    of_patient, of_image = rng.normal(size=patients.max() + 1)[patients], rng.normal(size=len(truth))
    return distance(area) * truth + alike**0.5 * of_patient + (1 - alike) ** 0.5 * of_image


def distance(area: float) -> float:
    """Between two normal distributions of scores with this area under the ROC curve."""
    return float(2**0.5 * stats.norm.ppf(area))


def cohort(ill: int, healthy: int, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and patient of each image."""
    return np.repeat([1] * ill + [0] * healthy, images), np.repeat(np.arange(ill + healthy), images)


def rate_study(rate: float, patients: int, images: int, rng: Rng) -> tuple[float, float]:
    """The interval of a sensitivity: all images of one patient are right, or all are wrong."""
    truth, of_image = cohort(patients, patients, images)
    right = (rng.random(2 * patients) < rate)[of_image]
    score = np.where(right, 1.0, -1.0) * (2 * truth - 1)
    return interval(table(truth, score, of_image), "sensitivity", rng)


def area_study(area: float, patients: int, images: int, rng: Rng) -> tuple[float, float]:
    truth, of_image = cohort(patients, patients, images)
    return interval(table(truth, scores(truth, of_image, area, 0.5 if images > 1 else 0, rng), of_image), "auroc", rng)


def interval(rows: pd.DataFrame, metric: str, rng: Rng) -> tuple[float, float]:
    params = Params(bootstrap=500, confidence=LEVEL, seed=int(rng.integers(2**31)))
    estimate = judge(rows, TASK, params).numbers["test"][metric]
    return estimate["low"], estimate["high"]


def coverage(studies: int) -> Iterator[tuple[str, float, float]]:
    """(study, coverage, mean width)."""
    cases: list[tuple[str, float, Callable[[Rng], tuple[float, float]]]] = []
    for rate in (0.99, 0.9, 0.6):
        for images in (1, 3):
            name = f"sensitivity {rate}, 36 patients × {images}"
            cases.append((name, rate, lambda rng, r=rate, i=images: rate_study(r, 36, i, rng)))
    for area in (0.8, 0.95, 0.98):
        for patients, images in ((36, 1), (18, 3)):
            name = f"AUROC {area:.2f}, {patients} + {patients} patients × {images}"
            cases.append((name, area, lambda rng, a=area, p=patients, i=images: area_study(a, p, i, rng)))
    for name, truth, study in cases:
        rng = np.random.default_rng(0)
        ends = np.array([study(rng) for _ in range(studies)])
        yield name, float(((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean()), float(np.diff(ends, axis=1).mean())


def models(areas: np.ndarray, rng: Rng, patients: int = 60, replicates: int = 1000) -> Draws:
    """Models with these true areas, tested on the same patients: half of what moves a score is common to all."""
    truth, of_image = cohort(patients, patients, 1)
    common = rng.normal(size=len(truth))
    own = rng.normal(size=(len(areas), len(truth)))
    values = np.array([distance(a) for a in areas])[:, None] * truth + 0.5**0.5 * (common + own)
    (weights,) = draws(of_image, replicates, int(rng.integers(2**31)))
    point = np.array([auroc(truth == 1, v, once(len(truth)))[0] for v in values])
    drawn = np.array([auroc(truth == 1, v, weights) for v in values])
    return Draws(point, drawn, 2 * patients, LEVEL, TASK.metrics["auroc"])


def excludes_zero(low: float, high: float) -> bool:
    return low > 0 or high < 0


def false_claims(studies: int) -> Iterator[tuple[str, float, float]]:
    """(study, share of the studies with any false claim, the same without a correction)."""
    for count in (6, 15, 36):
        rng, wrong, uncorrected = np.random.default_rng(count), 0, 0
        for _ in range(studies):
            drawn = models(np.full(count, 0.85), rng)
            best = int(drawn.point.argmax())
            wrong += any(excludes_zero(low, high) for _, low, high in drawn.differences_to(best))
            pairs = (drawn.differences([Contrast([i], [best])])[0] for i in range(count))
            uncorrected += any(excludes_zero(low, high) for _, low, high in pairs)
        yield f"{count} equal models, any behind the first", wrong / studies, uncorrected / studies
    for seeds in (1, 2, 3, 5):
        rng, wrong, uncorrected = np.random.default_rng(seeds), 0, 0
        for _ in range(studies):  # four strategies against a baseline; seeds vary more than the test patients let see
            areas = stats.norm.cdf(stats.norm.ppf(0.85) + 0.25 * rng.normal(size=5 * seeds))
            drawn = models(areas, rng)
            own = [range(k * seeds, (k + 1) * seeds) for k in range(5)]
            contrasts = [Contrast(own[k], own[0]) for k in range(1, 5)]
            truths = [areas[k] - areas[0] if seeds == 1 else 0.0 for k in range(1, 5)]  # of these models; of strategies
            for claims, lump in (
                (drawn.differences(contrasts), True),
                ([drawn.differences([c])[0] for c in contrasts], False),
            ):
                any_wrong = any(
                    excludes_zero(low - t, high - t) for (_, low, high), t in zip(claims, truths, strict=True)
                )
                wrong += any_wrong and lump
                uncorrected += any_wrong and not lump
        about = "these trained models" if seeds == 1 else "equal strategies"
        yield f"4 contrasts of {about}, seeds: {seeds}", wrong / studies, uncorrected / studies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=200, help="simulated studies per line (default 200)")
    studies = parser.parse_args().studies
    print(f"| interval of | coverage of {LEVEL:.0%} | mean width |\n|---|---|---|")
    for name, share, width in coverage(studies):
        print(f"| {name} | {share:.3f} | {width:.3f} |", flush=True)
    print("\n| study | false claims | without correction |\n|---|---|---|")
    for name, share, without in false_claims(studies):
        print(f"| {name} | {share:.3f} | {without:.3f} |", flush=True)
    print(f"\n{studies:,} studies a line: a share near 0.05 has a standard error of {(0.0475 / studies) ** 0.5:.3f}.")


if __name__ == "__main__":
    main()
