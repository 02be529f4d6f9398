"""Do the report's intervals and claims hold? Simulated studies with a known truth, judged by the project's functions.

    python benchmarks/claims.py                           # 200 studies a line: some minutes on one core
    python benchmarks/claims.py --studies 1000 --jobs 2   # the digits stand still

Prints two tables: how often an interval includes the truth, and how often a study of equal models claims a difference.
README.md of this folder says what the columns mean.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1]))

from stages.compare.numbers.delong import areas as areas_of
from stages.compare.numbers.draws import Contrast, Draws
from stages.compare.numbers.mcnemar import discordance
from stages.compare.numbers.optimism import corrected_by, optimism, widening
from stages.compare.numbers.paired import holm
from stages.compare.numbers.tiers import tiers
from stages.shared.measures import MEASURES, segmentation
from stages.shared.measures.intervals import area_spread, draws, score_interval
from stages.shared.measures.judge import Resampling, judge
from stages.shared.measures.statistics import auroc, once
from stages.shared.tasks import classification

TASK = MEASURES["classification"]
LEVEL, CLASSES = 0.95, ["healthy", "ill"]
Rng = np.random.Generator
Study = Callable[[Rng], tuple[float, float]]


def predictions(
    truth: np.ndarray, patients: Sequence[object], probability: np.ndarray, classes: list[str] = CLASSES
) -> pd.DataFrame:
    """A prediction table of test images; the validation images are the same. `probability`: of the second class."""
    index = pd.DataFrame(
        {
            "path": [f"{i:05d}.png" for i in range(len(truth))],
            "label": pd.Categorical.from_codes(truth, classes),
            "patient": patients,
            "group": patients,
            "split": "test",
        }
    )
    both = pd.concat([index.assign(split="val"), index])
    return classification.predictions(both, np.tile(np.stack([1 - probability, probability], axis=1), (2, 1)), classes)


def sigmoid(log_odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-log_odds))


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
    return interval(truth, np.where(right, 1.0, -1.0) * (2 * truth - 1), of_image, "sensitivity", rng)


def area_study(area: float, patients: int, images: int, rng: Rng) -> tuple[float, float]:
    """The interval of an AUROC."""
    truth, of_image = cohort(patients, patients, images)
    return interval(truth, scores(truth, of_image, area, 0.5 if images > 1 else 0, rng), of_image, "auroc", rng)


def dice_study(failures: float, patients: int, images: int, rng: Rng) -> tuple[float, float]:
    """The interval of a mean Dice; all images of a patient have the same one."""
    return mask_interval(dice_scores(failures, patients, rng), images, rng)


def dice_scores(failures: float, count: int, rng: Rng) -> np.ndarray:
    """Around 0.96, with a tail to the left; some are failures, between 0.1 and 0.9."""
    scores, failed = rng.beta(40, 1.6, count), rng.random(count) < failures
    scores[failed] = rng.uniform(0.1, 0.9, int(failed.sum()))
    return scores


def mean(failures: float) -> float:
    """Of `dice_scores`."""
    return (1 - failures) * 40 / 41.6 + failures * 0.5


def mask_interval(dice: np.ndarray, images: int, rng: Rng) -> tuple[float, float]:
    """Judged as a table of masks of one structure of 1,000 pixels, each predicted with as many."""
    patients = np.repeat(np.arange(len(dice)), images)
    tp = 1000 * dice[patients]
    blank = {f"{name}:mask": np.nan for name in segmentation.PER_CASE}
    counts = {"tp:mask": tp, "fp:mask": 1000 - tp, "fn:mask": 1000 - tp, "tn:mask": 9000, "dice:mask": dice[patients]}
    table = pd.DataFrame(blank | {"patient": patients, "group": patients, "split": "test"} | counts)
    how = Resampling(bootstrap=500, confidence=LEVEL, seed=int(rng.integers(2**31)))
    estimate = judge(pd.concat([table.assign(split="val"), table]), segmentation.MEASURES, how).numbers["test"]["dice"]
    return estimate["low"], estimate["high"]


def interval(truth: np.ndarray, score: np.ndarray, patients: np.ndarray, metric: str, rng: Rng) -> tuple[float, float]:
    params = Resampling(bootstrap=500, confidence=LEVEL, seed=int(rng.integers(2**31)))
    estimate = judge(predictions(truth, patients, sigmoid(score)), TASK, params).numbers["test"][metric]
    return estimate["low"], estimate["high"]


def repeated(study: Study, studies: int, jobs: int, case: int) -> np.ndarray:
    """What each study gives, studies×2. Study i of a case has a seed of its own: `jobs` changes no number."""
    seeds = [[case, i] for i in range(studies)]
    return np.array(Parallel(jobs)(delayed(study)(np.random.default_rng(seed)) for seed in seeds))


def coverage(studies: int, jobs: int) -> Iterator[tuple[str, float, float]]:
    """(study, coverage, mean width)."""
    cases: list[tuple[str, float, Study]] = (
        [
            (f"sensitivity {rate}, 36 patients × {images}", rate, partial(rate_study, rate, 36, images))
            for rate in (0.99, 0.9, 0.6)
            for images in (1, 3)
        ]
        + [
            (f"AUROC {area:.2f}, {n} + {n} patients × {images}", area, partial(area_study, area, n, images))
            for area in (0.8, 0.95, 0.98)
            for n, images in ((36, 1), (18, 3))
        ]
        + [
            (f"{name}, {n} patients × {images}", mean(failures), partial(dice_study, failures, n, images))
            for name, failures in (("mean Dice 0.96", 0.0), ("the same with 7% failures", 0.07))
            for n, images in ((15, 1), (40, 1), (15, 3))
        ]
    )
    for case, (name, truth, study) in enumerate(cases):
        ends = repeated(study, studies, jobs, case)
        yield name, float(((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean()), float(np.diff(ends, axis=1).mean())


def same_patients(areas: np.ndarray, rng: Rng, patients: int = 60, images: int = 1) -> tuple[np.ndarray, ...]:
    """Truth and patient of each image, and the scores of models with these true areas, M×N, on the same patients: half
    of what moves a score is common to all, and to all images of a patient."""
    truth, of_image = cohort(patients, patients, images)
    common = rng.normal(size=2 * patients)[of_image]
    own = rng.normal(size=(len(areas), len(truth)))
    return truth, of_image, np.array([distance(a) for a in areas])[:, None] * truth + 0.5**0.5 * (common + own)


def models(areas: np.ndarray, rng: Rng, patients: int = 60, replicates: int = 1000) -> Draws:
    """Their draws."""
    truth, of_image, values = same_patients(areas, rng, patients)
    (weights,) = draws(of_image, replicates, int(rng.integers(2**31)))
    point = np.array([auroc(truth == 1, v, once(len(truth)))[0] for v in values])
    drawn = np.array([auroc(truth == 1, v, weights) for v in values])
    return Draws(point, drawn, 2 * patients, LEVEL, TASK.metrics["auroc"])


def excludes(low: float, high: float, truth: float = 0.0) -> bool:
    return low > truth or high < truth


def equal_models(count: int, rng: Rng) -> tuple[bool, bool]:
    """Whether any of so many equal models is said to be behind the first; the same without a correction."""
    drawn = models(np.full(count, 0.85), rng)
    best = int(drawn.point.argmax())
    pairs = (drawn.differences([Contrast([i], [best])])[0] for i in range(count))
    return (
        any(excludes(low, high) for _, low, high in drawn.differences_to(best)),
        any(excludes(low, high) for _, low, high in pairs),
    )


def paired_tests(test: str, count: int, images: int, rng: Rng) -> tuple[bool, bool]:
    """Whether DeLong's or McNemar's test, adjusted for all pairs, tells any of so many equal models from the first; the
    same without adjusting."""
    truth, of_image, values = same_patients(np.full(count, 0.85), rng, images=images)
    found = areas_of([(truth == 1, values)], of_image)
    right, score = (values > values.mean(axis=1, keepdims=True)) == truth, found.value
    score = score if test == "DeLong" else right.mean(axis=1)
    pairs = list(combinations(range(count), 2))
    if test == "DeLong":
        differences = [found.difference(a, b) for a, b in pairs]
        p = np.array([2 * stats.norm.sf(abs(d) / error) for d, error in differences])
    else:
        p = np.array([discordance(right[a], right[b], of_image).p_value for a, b in pairs])
    with_first = [int(score.argmax()) in pair for pair in pairs]
    return bool((holm(p)[with_first] < 1 - LEVEL).any()), bool((p[with_first] < 1 - LEVEL).any())


def two_tiers(rng: Rng) -> tuple[bool, bool]:
    """Three equal models and three that are worse: whether one of the first three is in a lower tier than another; the
    same where each interval is of one pair alone."""
    drawn = models(np.repeat([0.9, 0.7], 3), rng)
    order = np.argsort(-drawn.point, kind="stable").tolist()
    best = next(i for i in order if i < 3)
    alone = (drawn.differences([Contrast([i], [best])])[0] for i in range(3))
    return len(set(tiers(drawn, order)[:3])) > 1, any(high < 0 for _, _, high in alone)


def first_row(count: int, rng: Rng) -> tuple[bool, bool]:
    """Whether the value of the first of so many equal models, without its luck, claims more than their true area: its
    95% interval lies above; the same of the value as it is."""
    drawn = models(np.full(count, 0.85), rng)
    best = int(drawn.point.argmax())
    value, quantile = float(drawn.point[best]), float(stats.norm.ppf((1 + LEVEL) / 2))
    low, high = score_interval(value, area_spread(value) / drawn.replicates[best].var(), quantile, area_spread)
    factor = widening(drawn, range(count))
    own = corrected_by(optimism(drawn), value, low, high, factor, higher_is_better=True)
    return own["corrected_low"] > 0.85, low > 0.85


def equal_strategies(seeds: int, rng: Rng) -> tuple[bool, bool]:
    """Four strategies against a baseline: whether any claim is false; the same without a correction. All strategies are
    equal; seeds vary more than the test patients let see. With one seed the claims are about these trained models."""
    areas = stats.norm.cdf(stats.norm.ppf(0.85) + 0.25 * rng.normal(size=5 * seeds))
    drawn = models(areas, rng)
    own = [range(k * seeds, (k + 1) * seeds) for k in range(5)]
    contrasts = [Contrast(own[k], own[0]) for k in range(1, 5)]
    truths = [areas[k] - areas[0] if seeds == 1 else 0.0 for k in range(1, 5)]
    lump, single = drawn.differences(contrasts), [drawn.differences([c])[0] for c in contrasts]
    wrong, uncorrected = (
        any(excludes(low, high, truth) for (_, low, high), truth in zip(claims, truths, strict=True))
        for claims in (lump, single)
    )
    return wrong, uncorrected


def false_claims(studies: int, jobs: int) -> Iterator[tuple[str, float, float]]:
    """(study, share of the studies with any false claim, the same without a correction)."""
    cases: list[tuple[str, Study]] = [
        (f"{count} equal models, any behind the first", partial(equal_models, count)) for count in (6, 15, 36)
    ]
    for seeds in (1, 2, 3, 5):
        about = "these trained models" if seeds == 1 else "equal strategies"
        cases.append((f"4 contrasts of {about}, seeds: {seeds}", partial(equal_strategies, seeds)))
    cases += [
        (
            f"{count} equal models × {images} image{'s' * (images > 1)}, {test}",
            partial(paired_tests, test, count, images),
        )
        for test in ("DeLong", "McNemar")
        for count, images in ((6, 1), (6, 3), (15, 1))
    ]
    cases.append(("3 equal models above 3 others, in two tiers", two_tiers))
    cases += [(f"value of the first of {count} equal models", partial(first_row, count)) for count in (6, 36)]
    for case, (name, study) in enumerate(cases, start=100):
        wrong, uncorrected = repeated(study, studies, jobs, case).mean(axis=0)
        yield name, wrong, uncorrected


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=200, help="simulated studies per line (default 200)")
    parser.add_argument("--jobs", type=int, default=1, help="processes; the numbers do not depend on it (default 1)")
    options = parser.parse_args()
    print(f"| interval of | coverage of {LEVEL:.0%} | mean width |\n|---|---|---|")
    for name, share, width in coverage(options.studies, options.jobs):
        print(f"| {name} | {share:.3f} | {width:.3f} |", flush=True)
    print("\n| study | false claims | without correction |\n|---|---|---|")
    for name, share, without in false_claims(options.studies, options.jobs):
        print(f"| {name} | {share:.3f} | {without:.3f} |", flush=True)
    error = (0.05 * 0.95 / options.studies) ** 0.5
    print(f"\n{options.studies:,} studies a line: a share near 0.05 has a standard error of {error:.3f}.")


if __name__ == "__main__":
    main()
