"""How often subgroups show a gap where there is none, and how often they show one that is there.

Images of patients with a label, a score and random groups (a site, thirds of a brightness); in the null studies the
score depends on the label alone. A study errs when any gap is shown among all comparisons of all columns.

    python -m benchmarks.subgroups --studies 400
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from stages.evaluate.evidence.subgroups import COMPUTE, compared
from stages.shared.measures import MEASURES
from stages.shared.measures.judge import Resampling

CASES = [(80, 1.5), (80, 3.0), (300, 1.5), (300, 3.0)]  # patients, and how far the scores of the classes lie apart


def study(rng: np.random.Generator, patients: int, skill: float, worse: float = 0.0) -> pd.DataFrame:
    """Test images, two a patient, on three sites. `worse`: how much of the skill is missing at the last site."""
    patient = np.repeat(np.arange(patients), 2)
    label = np.repeat(rng.permutation(patients) % 2, 2)
    site = np.repeat(rng.integers(0, 3, patients), 2)
    own = np.repeat(rng.normal(size=patients), 2)
    score = skill * (1 - worse * (site == 2)) * (label - 0.5) + 0.6 * own + 0.8 * rng.normal(size=len(label))
    probability = 1 / (1 + np.exp(-score))
    names = np.array(["normal", "sick"])
    return pd.DataFrame({
        "path": [f"images/{i}.png" for i in range(len(label))], "patient": patient.astype(str), "group": patient,
        "label": pd.Categorical(names[label], names),
        "predicted": pd.Categorical(names[(probability > 0.5).astype(int)], names),
        "prob_normal": 1 - probability, "prob_sick": probability, "site": np.array(["A", "B", "C"])[site],
        "width": 64.0, "height": 64.0,
        "brightness": rng.normal(size=len(label)), "contrast": rng.normal(size=len(label)),
    })  # fmt: skip


def shown(table: pd.DataFrame, draws: int) -> int:
    section = compared(table, MEASURES["classification"], COMPUTE["classification"], Resampling(draws, 0.95, 0), 10, {})
    return int(section["shown"])


def share(studies: int, draws: int, patients: int, skill: float, worse: float = 0.0) -> float:
    tables = (study(np.random.default_rng([seed, patients]), patients, skill, worse) for seed in range(studies))
    return float(np.mean([shown(table, draws) > 0 for table in tables]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--draws", type=int, default=1000)
    options = parser.parse_args()
    print("patients  skill  no gap, but one is shown  a site without skill is shown")
    for patients, skill in CASES:
        null, planted = (share(options.studies, options.draws, patients, skill, worse) for worse in (0.0, 1.0))
        print(f"{patients:8d}  {skill:5.1f}  {null:24.1%}  {planted:29.1%}")


if __name__ == "__main__":
    main()
