from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics as reference

from stages import compare
from stages.compare.numbers import comparison, repeats
from stages.compare.numbers.comparison import analyse
from stages.compare.numbers.draws import Contrast, Draws
from stages.shared.core.paths import Key
from stages.shared.measures import MEASURES
from stages.shared.measures.intervals import draws as patient_draws
from stages.shared.measures.statistics import auroc

AUROC = MEASURES["classification"].metrics["auroc"]


def member(sample: str, strategy: str = "a", images: int = 20, **settings: object) -> SimpleNamespace:
    whole = {"fraction": 1.0, "per_class": None, "fold": 0, "seed": 0} | settings
    summary = {"sample": whole, "train_images": images}
    return SimpleNamespace(key=Key("cnn", strategy, sample), kind="model", summary=summary, value=lambda *names: 0.5)


def cells(members: list[SimpleNamespace]) -> list[tuple[str, dict[int, int]]]:
    """(size, seed -> position among the members)."""
    table = repeats.trainings(members, "auroc", "f1")
    return [
        (size, dict(zip(rows["seed"], rows["at"], strict=True))) for size, rows in table.groupby("sample", sort=False)
    ]


def pairwise_area(truth: np.ndarray, score: np.ndarray) -> float:
    """The share of (positive, negative) pairs in the right order; a tie counts half."""
    difference = score[truth == 1][:, None] - score[truth == 0]
    return float((np.sign(difference).mean() + 1) / 2)


def area(table: pd.DataFrame) -> float:
    return reference.roc_auc_score(table.label == "pneumonia", table.prob_pneumonia)


def test_samples_of_two_sites_are_no_repeats_of_one_another() -> None:
    members = [member("a"), member("b", seed=1), member("c", site="east"), member("d", site="west", seed=1)]
    assert repeats.sizes(members) == {"a": "all", "b": "all", "c": "all, east", "d": "all, west"}
    assert cells(members) == [("all", {0: 0, 1: 1}), ("all, east", {0: 2}), ("all, west", {1: 3})]


def test_samples_that_differ_in_their_seed_alone_are_one_size() -> None:
    members = [
        member("a", per_class=10), member("b", per_class=10, seed=1), member("c", fraction=0.1),
        member("d"), member("e", seed=4),
    ]  # fmt: skip
    assert repeats.sizes(members) == {"a": "10 a class", "b": "10 a class", "c": "10%", "d": "all", "e": "all"}
    assert cells(members) == [
        ("10 a class", {0: 0, 1: 1}), ("10%", {0: 2}), ("all", {0: 3, 4: 4}),
    ]  # fmt: skip


def test_other_folds_are_other_sizes() -> None:
    members = [member("a"), member("b", seed=1), member("c", fold=2), member("d", fold=2, seed=1)]
    assert repeats.sizes(members) == {"a": "all, fold 0", "b": "all, fold 0", "c": "all, fold 2", "d": "all, fold 2"}


def test_without_repeats_samples_keep_their_names() -> None:
    assert repeats.sizes([member("tenth", fraction=0.1), member("full")]) == {"tenth": "tenth", "full": "full"}
    assert repeats.sizes([member("full"), member("again")]) == {"full": "full", "again": "again"}  # the same training
    older = SimpleNamespace(key=Key("cnn", "a", "old"), summary={})
    assert repeats.sizes([older, member("a"), member("b", seed=1)]) == {"old": "old", "a": "all", "b": "all"}


def test_two_samples_with_one_seed_count_once() -> None:
    assert cells([member("a"), member("b", seed=1), member("copy", seed=1)]) == [("all", {0: 0, 1: 1})]


def test_a_size_has_the_mean_number_of_images() -> None:
    members = [member(f"a{i}", s, n, per_class=5, seed=i) for i, n in enumerate((10, 11, 13)) for s in ("x", "y")]
    assert set(repeats.trainings(members, "auroc", "f1")["train_images"]) == {11}


@pytest.fixture
def scored() -> SimpleNamespace:
    """Three seeds of two strategies, scores of 60 patients with two images each."""
    rng = np.random.default_rng(5)
    truth = np.repeat(np.arange(60) % 2, 2)
    patients = np.repeat([f"p{i:02d}" for i in range(60)], 2)
    common = np.repeat(rng.normal(size=60), 2)
    skill = [1.0 + 0.25 * rng.normal() + 0.6 * b for b in (0, 1) for _ in range(3)]
    scores = np.array([s * truth + common + 0.4 * rng.normal(size=120) for s in skill])
    return SimpleNamespace(truth=truth, patients=patients, scores=scores, rng=rng)


def draws_of(scored: SimpleNamespace, replicates: int, seed: int = 0) -> Draws:
    point = np.array([reference.roc_auc_score(scored.truth, s) for s in scored.scores])
    (weights,) = patient_draws(scored.patients, replicates, seed)
    drawn = np.stack([auroc(scored.truth == 1, s, weights) for s in scored.scores])
    return Draws(point, drawn, 60, 0.95, AUROC)


def test_the_interval_of_a_difference_agrees_with_a_plain_loop(scored: SimpleNamespace) -> None:
    """Patients in a loop; seeds by the textbook's variance of a mean; a t quantile for the sum."""
    ((difference, low, high),) = draws_of(scored, 3000).differences([Contrast([3, 4, 5], [0, 1, 2])])
    names, loop = np.unique(scored.patients), []
    for _ in range(1000):
        rows = np.concatenate([np.flatnonzero(scored.patients == p) for p in scored.rng.choice(names, len(names))])
        areas = [pairwise_area(scored.truth[rows], s[rows]) for s in scored.scores]
        loop.append(np.mean(areas[3:]) - np.mean(areas[:3]))
    areas = np.array([pairwise_area(scored.truth, s) for s in scored.scores])
    patients, seeds = np.var(loop), (areas[3:] - areas[:3]).var(ddof=1) / 3
    t_patients, t_seeds = stats.t.ppf(0.975, [59, 2])
    half = (patients * t_patients + seeds * t_seeds) / (patients + seeds) ** 0.5
    assert difference == pytest.approx((areas[3:] - areas[:3]).mean())
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)


def test_seeds_are_paired(scored: SimpleNamespace) -> None:
    scored.scores[3:] = scored.scores[:3]
    draws = replace(draws_of(scored, 200), support=60)
    ((difference, low, high),) = draws.differences([Contrast([3, 4, 5], [0, 1, 2])])
    assert difference == 0
    assert -0.07 < low < 0 < high < 0.07  # no draw differs: 60 patients, as for a rate of 0
    ((_, low, high),) = draws.differences([Contrast([3, 4, 5], [0, 1, 2], paired=False)])
    assert low < 0 < high


@pytest.mark.parametrize(("seeds", "paired"), [(2, True), (3, True), (3, False), (5, True)])
def test_few_seeds_that_differ_a_lot_rarely_make_a_false_claim(seeds: int, paired: bool) -> None:
    """Two equal strategies; chance of the patients, known to the draws, and three times as much of each training."""
    rng, studies, wrong = np.random.default_rng(0), 400, 0
    at = range(seeds), range(seeds, 2 * seeds)
    for _ in range(studies):
        point = 0.8 + 0.01 * rng.normal() + 0.03 * rng.normal(size=2 * seeds)
        drawn = point[:, None] + 0.01 * rng.normal(size=300)
        draws = Draws(point, drawn, 100, 0.95, AUROC)
        ((_, low, high),) = draws.differences([Contrast(*at, paired=paired)])
        wrong += low > 0 or high < 0
    assert wrong / studies <= 0.07


@pytest.mark.parametrize("seeds", [2, 3, 12])
def test_the_interval_of_a_mean_covers_what_it_says(seeds: int) -> None:
    """Areas = truth + chance of the patients (known to the draws) + chance of the seed, all normal."""
    rng, hits, studies = np.random.default_rng(0), 0, 400
    for _ in range(studies):
        point = 0.8 + 0.02 * rng.normal() + 0.03 * rng.normal(size=seeds)
        drawn = point[:, None] + 0.02 * rng.normal(size=300)
        _, low, high = Draws(point, drawn, 100, 0.95, AUROC).mean(range(seeds), [(0, 1)] * seeds)
        hits += low <= 0.8 <= high
    assert hits / studies >= 0.92


def test_the_mean_of_models_that_are_all_right_keeps_the_interval_of_one(scored: SimpleNamespace) -> None:
    draws = Draws(np.ones(2), np.ones((2, 50)), 20, 0.95, AUROC)
    assert draws.mean([0, 1], [(0.8, 1), (0.85, 1)]) == (1, 0.8, 1)


def test_a_mean_with_an_undefined_value_has_no_interval() -> None:
    draws = Draws(np.array([np.nan, 0.9]), np.full((2, 200), 0.9), 20, 0.95, AUROC)
    assert np.isnan(draws.mean([0, 1], [(np.nan, np.nan), (0.8, 0.95)])).all()


def test_contrasts_are_of_sizes_and_their_differences_those_of_the_means(repeats: Path) -> None:
    table = pd.read_csv(repeats / "reports/compare/contrasts.csv")
    assert len(table) == 2 * 4
    assert set(table["sample"]) == {"4 a class", "8 a class", "16 a class", "all"}
    assert (table.seeds == 3).all()
    names = {"4 a class": "few", "all": "full"}
    for row in table[table["sample"].isin(names)].itertuples():
        own, base = (
            np.mean([area(predictions(repeats, f"small_cnn-{s}-{names[row.sample]}_{i}")) for i in range(3)])
            for s in (row.strategy, "from_scratch")
        )
        assert [row.auroc, row.baseline_auroc, row.difference] == pytest.approx([own, base, own - base], abs=1e-5)
        assert row.low < row.difference < row.high
    few = table[table["sample"] == "4 a class"]
    assert few.set_index("strategy").verdict["feature_extraction"] == "better"  # made with a far better score
    assert (few.train_images == 8).all()


def predictions(root: Path, key: str) -> pd.DataFrame:
    return pd.read_parquet(root / "reports/evaluate" / key / "predictions.parquet").query("split == 'test'")


def test_means_are_written_with_their_spread_and_the_leaderboard_keeps_every_model(repeats: Path) -> None:
    means = pd.read_csv(repeats / "reports/compare/repeats.csv")
    board = pd.read_csv(repeats / "reports/compare/leaderboard.csv").set_index("key")
    assert len(board) == 36
    assert len(means) == 12
    assert means.auroc.is_monotonic_decreasing
    for row in means.itertuples():
        own = board.loc[[f"small_cnn-{row.strategy}-{name}" for name in row.samples.split()]]
        assert [row.auroc, row.auroc_sd] == pytest.approx([own.auroc.mean(), own.auroc.std()], abs=1e-5)
        assert row.balanced_accuracy == pytest.approx(own.balanced_accuracy.mean(), abs=1e-5)
        assert row.auroc_low < row.auroc < row.auroc_high


def test_a_missing_repeat_is_left_out_of_the_pair_but_not_of_the_mean(
    repeats_project: Path, params: Callable[..., compare.Params], repeated_samples: list[str]
) -> None:
    (repeats_project / "reports/train/small_cnn-fine_tune-few_1/summary.json").unlink()
    study = analyse(params(sample=repeated_samples))
    row = study.contrasts.query("strategy == 'fine_tune' and sample == '4 a class'").iloc[0]
    assert row.seeds == 2
    base = [area(predictions(repeats_project, f"small_cnn-from_scratch-few_{i}")) for i in (0, 2)]
    assert row.baseline_value == pytest.approx(np.mean(base))
    means = study.means.set_index(["strategy", "sample"]).seeds
    assert means["fine_tune", "4 a class"] == 2
    assert means["from_scratch", "4 a class"] == 3


def test_a_baseline_with_one_seed_is_compared_with_one_model(
    repeats_project: Path, params: Callable[..., compare.Params], repeated_samples: list[str]
) -> None:
    """Of the same seed where there is one, else with the first of the matrix."""
    models = repeats_project / "reports/train"
    for key, own in [("from_scratch-few_1", 0), ("from_scratch-few_2", 0), ("fine_tune-few_0", 1)]:
        (models / f"small_cnn-{key}/summary.json").unlink()
        contrasts = analyse(params(sample=repeated_samples)).contrasts
        row = contrasts.query("strategy == 'fine_tune' and sample == '4 a class'").iloc[0]
        if key == "from_scratch-few_1":
            assert (row.seeds, row.runs, row.baseline_runs) == (2, 3, 2)
            continue
        areas = [
            area(predictions(repeats_project, f"small_cnn-{s}-few_{i}"))
            for s, i in [("fine_tune", own), ("from_scratch", 0)]
        ]
        assert [row.value, row.baseline_value] == pytest.approx(areas)
        assert (row.seeds, row.runs, row.baseline_runs) == (1, 3 - own, 1)


def test_figures_show_the_first_seed_whatever_its_score(
    repeats_project: Path,
    params: Callable[..., compare.Params],
    repeated_samples: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = analyse(params(sample=repeated_samples))
    assert len(study.shown) == 12
    assert study.shown["sample"].str.endswith("_0").all()
    monkeypatch.setattr(comparison, "LIMIT", 5)
    few = analyse(params(sample=repeated_samples)).shown
    assert list(few.key) == list(study.shown.key[:5])


def test_repeats_have_a_learning_curve_and_the_gain_over_the_baseline(repeats: Path) -> None:
    drawn = {path.stem for path in (repeats / "reports/compare/figures").iterdir()}
    assert {"data_efficiency", "gains", "intervals", "roc"} <= drawn


def test_without_repeats_every_number_is_that_of_the_single_models(compared: dict[str, Path]) -> None:
    means = pd.read_csv(compared["binary"] / "repeats.csv")
    board = pd.read_csv(compared["binary"] / "leaderboard.csv")
    assert (means.seeds == 1).all()
    assert means.auroc_sd.isna().all()
    assert list(means["size"]) == list(board["sample"])
    for name in ("auroc", "auroc_low", "auroc_high", "balanced_accuracy", "val_auroc", "train_images"):
        assert list(means[name]) == list(board[name])
    contrasts = pd.read_csv(compared["binary"] / "contrasts.csv")
    assert set(contrasts["sample"]) == {"tenth", "full"}


def test_the_same_files_give_the_same_intervals(
    repeats_project: Path, repeats: Path, params: Callable[..., compare.Params], repeated_samples: list[str]
) -> None:
    again = analyse(params(sample=repeated_samples))
    written = pd.read_csv(repeats / "reports/compare/contrasts.csv")
    assert np.allclose(again.contrasts[["low", "high"]], written[["low", "high"]], rtol=1e-5)
