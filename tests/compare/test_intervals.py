"""Differences between models: the draws of evaluate against a plain loop over patients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.claims import predictions, sigmoid
from stages import compare
from stages.compare.numbers.board import leaderboard
from stages.compare.numbers.comparison import analyse
from stages.compare.numbers.draws import Contrast, Draws
from stages.shared.core.errors import UserError
from stages.shared.core.paths import Key
from stages.shared.measures import MEASURES
from stages.shared.measures.intervals import percentile_interval
from stages.shared.measures.judge import Resampling, judge
from stages.shared.measures.measure import Measure

from .evaluations import write_evaluation

TASK = MEASURES["classification"]
CLASSES = ["normal", "pneumonia"]


@pytest.mark.parametrize(
    ("metric", "theirs"),
    [
        ("auroc", lambda truth, score: (np.sign(score[truth == 1][:, None] - score[truth == 0]).mean() + 1) / 2),
        (
            "balanced_accuracy",
            lambda truth, score: np.mean([((score > 0.5) == truth)[truth == k].mean() for k in (0, 1)]),
        ),
    ],
)
def test_the_interval_of_a_difference_agrees_with_a_plain_loop_over_patients(
    metric: str, theirs: Callable[[np.ndarray, np.ndarray], float]
) -> None:
    rng, n = np.random.default_rng(3), 240
    patients = np.array([f"p{i // 3}" for i in range(n)])
    truth = np.repeat(rng.integers(0, 2, n // 3), 3)
    common = rng.normal(size=n)
    scores = [sigmoid((2 * truth - 1) * skill + common + 0.5 * rng.normal(size=n)) for skill in (0.8, 0.4)]

    params = Resampling(2000, 0.95, seed=0)
    judged = [judge(predictions(truth, patients, score, CLASSES), TASK, params) for score in scores]
    point = np.array([j.numbers["test"][metric]["value"] for j in judged])
    draws = Draws(point, np.stack([j.draws[metric] for j in judged]), 80, 0.95, TASK.metrics[metric])
    ((difference, low, high),) = draws.differences([Contrast([0], [1])])
    assert draws.differences_to(1)[0] == pytest.approx((difference, low, high))  # one pair needs no correction

    names, loop = np.unique(patients), []
    for _ in range(400):
        rows = np.concatenate([np.flatnonzero(patients == p) for p in rng.choice(names, len(names))])
        a, b = (theirs(truth[rows], score[rows]) for score in scores)
        loop.append(a - b)
    assert [low, high] == pytest.approx(np.quantile(loop, [0.025, 0.975]), abs=0.015)
    assert difference == pytest.approx(theirs(truth, scores[0]) - theirs(truth, scores[1]))
    assert (
        high - low < np.ptp(percentile_interval(draws.replicates[0], 0.95)) * 1.2
    )  # pairing: the images' own noise cancels


@pytest.mark.parametrize(
    ("low", "high", "higher", "lower"),
    [(0.1, 0.2, "better", "worse"), (-0.2, -0.1, "worse", "better"), (-0.1, 0.1, "not shown to differ", "not shown to differ"),
     (0.0, 0.1, "not shown to differ", "not shown to differ"), (np.nan, np.nan, "not shown to differ", "not shown to differ")],
)  # fmt: skip
def test_a_verdict_needs_an_interval_without_zero_and_knows_which_way_is_better(
    low: float, high: float, higher: str, lower: str
) -> None:
    values = np.zeros((2, 3))
    up, down = (Draws(values[:, 0], values, 3, 0.95, Measure("m", "m", higher_is_better=h)) for h in (True, False))
    assert (up.verdict(low, high), down.verdict(low, high)) == (higher, lower)


def test_of_equal_validation_scores_the_first_in_the_matrix_is_chosen_whatever_the_test_scores() -> None:
    def member(at: int) -> SimpleNamespace:
        value = lambda split, name, end="value": {"val": 1.0, "test": 0.8 + 0.05 * at}[split]  # noqa: E731
        about = {"key": Key("cnn", f"s{at}", "full"), "kind": "model", "summary": {}, "metrics": {"one_class": None}}
        about["cost"] = {}
        return SimpleNamespace(**about, value=value)

    point = np.array([0.8, 0.85, 0.9])
    for higher, first in ((True, "s2"), (False, "s0")):
        draws = Draws(point, np.tile(point[:, None], 5), 20, 0.95, Measure("m", "m", higher_is_better=higher))
        board = leaderboard([member(at) for at in range(3)], draws, "m", ["m"])
        assert (board.strategy[0], list(board.strategy[board.chosen])) == (first, ["s0"])


def test_differences_are_wider_the_more_of_them_there_are() -> None:
    """Independent standard normals: the largest of k absolute values has the quantile of Šidák."""
    rng, k = np.random.default_rng(0), 12
    drawn = rng.normal(size=(2 * k, 20_000))
    draws = Draws(np.zeros(2 * k), drawn, 10_000, 0.95, TASK.metrics["auroc"])
    (_, low, high), *_ = draws.differences([Contrast([i], [i + k]) for i in range(k)])
    sidak = stats.norm.ppf((1 + 0.95 ** (1 / k)) / 2)
    assert (high - low) / 2 == pytest.approx(sidak * 2**0.5, rel=0.03)


def test_of_many_equal_models_hardly_any_study_has_one_behind_the_first() -> None:
    """Tukey's situation: 12 equal means, known variance; a pair alone would err in most studies."""
    rng, studies, m = np.random.default_rng(0), 200, 12
    wrong = 0
    for _ in range(studies):
        point, noise = rng.normal(size=m), rng.normal(size=(m, 600))
        draws = Draws(point, point[:, None] + noise, 10_000, 0.95, TASK.metrics["auroc"])
        wrong += any(low > 0 or high < 0 for _, low, high in draws.differences_to(int(point.argmax())))
    assert wrong / studies <= 0.09  # 0.05 and chance


def test_models_that_differ_on_no_draw_may_still_differ(
    project: Path, params: Callable[..., compare.Params], without_floors: None
) -> None:
    """Both find all 12 ill patients: another one may be found by one alone. As wide as Wilson's interval of 0 of 12."""
    truth, patients = np.repeat([1, 1, 0, 0, 0], 12), [f"p{i:02d}" for i in np.repeat(np.arange(30), 2)]
    for strategy, shift in (("from_scratch", 0.0), ("fine_tune", 0.1)):
        score = np.where(truth == 1, 0.8, np.linspace(0.2, 0.7, 60)) + shift
        table = predictions(truth, patients, score, CLASSES)
        write_evaluation(project / f"reports/evaluate/small_cnn-{strategy}-full", table)
    study = analyse(params(strategy=["from_scratch", "fine_tune"], sample=["full"], sort_by="sensitivity"))
    (row,) = study.contrasts.itertuples()
    level = 2 * stats.norm.cdf(stats.t.ppf(0.975, 29)) - 1
    wilson = stats.binomtest(0, 12).proportion_ci(level, method="wilson").high
    assert (row.value, row.baseline_value, row.difference) == (1, 1, 0)
    assert [row.low, row.high] == pytest.approx([-wilson, wilson])
    assert list(study.board.difference_low) == pytest.approx([0, -wilson])
    assert study.board.tie.all()


def test_a_metric_that_is_no_rate_has_no_interval_where_no_draw_differs() -> None:
    draws = Draws(np.full(2, 3.0), np.full((2, 50), 3.0), 20, 0.95, Measure("Hausdorff", "HD", spread=None), support=20)
    ((difference, low, high),) = draws.differences([Contrast([0], [1])])
    assert difference == 0
    assert np.isnan([low, high]).all()


@pytest.fixture
def two_metrics(project: Path, without_floors: None) -> Path:
    """The AUROC says that fine_tune is better, for sure; balanced accuracy says the opposite: its good scores lie above
    the threshold, nearly all of them."""
    rng, n = np.random.default_rng(0), 200
    truth, patients = np.arange(n) % 2, [f"p{i:03d}" for i in range(n)]
    scores = {
        "from_scratch": sigmoid(1.2 * (2 * truth - 1) + 1.0 * rng.normal(size=n)),
        "fine_tune": sigmoid(3 + 2.5 * (2 * truth - 1) + 1.0 * rng.normal(size=n)),
    }
    for strategy, score in scores.items():
        table = predictions(truth, patients, score, CLASSES)
        write_evaluation(project / f"reports/evaluate/small_cnn-{strategy}-full", table)
    return project


def test_the_metric_that_sorts_decides_rank_difference_tie_and_contrast(
    two_metrics: Path, params: Callable[..., compare.Params]
) -> None:
    matrix = {"strategy": ["from_scratch", "fine_tune"], "sample": ["full"]}
    area, balanced = (analyse(params(sort_by=name, **matrix)) for name in ("auroc", "balanced_accuracy"))
    assert list(area.board.strategy) == ["fine_tune", "from_scratch"]
    assert list(balanced.board.strategy) == ["from_scratch", "fine_tune"]
    for study in (area, balanced):
        board = study.board
        assert (board.value == board[study.metric]).all()
        assert board.difference[1] == pytest.approx(board[study.metric][1] - board[study.metric][0])
        assert board.difference[1] < board.difference_high[1] < 0
        assert not board.tie[1]
        assert study.means.value.is_monotonic_decreasing
    (row,) = area.contrasts.itertuples()
    assert (row.verdict, row.difference) == ("better", -area.board.difference[1])
    (row,) = balanced.contrasts.itertuples()
    assert (row.verdict, row.difference) == ("worse", balanced.board.difference[1])


def test_a_tie_is_of_the_metric_that_sorts(two_metrics: Path, params: Callable[..., compare.Params]) -> None:
    """Without a threshold the two are apart; by sensitivity of two models that find nearly all, they are not."""
    matrix = {"strategy": ["feature_extraction", "fine_tune"], "sample": ["full"]}
    source = two_metrics / "reports/evaluate/small_cnn-fine_tune-full"
    table = pd.read_parquet(source / "predictions.parquet")
    noise = np.random.default_rng(1).normal(size=len(table))
    score = sigmoid(np.log(table.prob_pneumonia / table.prob_normal) + 2 + 4 * noise * (table.label == "normal"))
    table["prob_normal"], table["prob_pneumonia"] = 1 - score, score
    table["predicted"] = pd.Categorical(np.where(score > 0.5, "pneumonia", "normal"), CLASSES)
    other = two_metrics / "reports/evaluate/small_cnn-feature_extraction-full"
    write_evaluation(other, table)
    assert list(analyse(params(sort_by="auroc", **matrix)).board.tie) == [True, False]
    assert list(analyse(params(sort_by="sensitivity", **matrix)).board.tie) == [True, True]


def test_an_unknown_metric_lists_the_valid_ones_with_the_nearest(params: Callable[..., compare.Params]) -> None:
    compare.check(params(sort_by="f1"))
    with pytest.raises(
        UserError,
        match=r"^sort_by \(task: classification\): 'acuracy' is not known. Did you mean 'accuracy'\? Valid: .*auroc",
    ):
        compare.check(params(sort_by="acuracy"))


def test_the_old_key_says_where_the_number_of_draws_is_set(params: Callable[..., compare.Params]) -> None:
    with pytest.raises(ValueError, match=r"evaluate.bootstrap decides now"):
        params(replicates=1000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bootstrap": 200}, "was evaluated with bootstrap"),
        ({"seed": 1}, "was evaluated with seed"),
        ({"confidence": 0.9}, "was evaluated with confidence"),
    ],
)
def test_draws_that_cannot_be_paired_are_refused(
    project: Path, params: Callable[..., compare.Params], change: dict[str, float], message: str
) -> None:
    folder = project / "reports/evaluate/small_cnn-fine_tune-full"
    table = pd.read_parquet(folder / "predictions.parquet")
    write_evaluation(folder, table, Resampling(**{"bootstrap": 300, "confidence": 0.95, "seed": 0} | change))
    with pytest.raises(UserError, match=rf"{message}.*dvc repro -f evaluate@small_cnn"):
        analyse(params())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda draws: draws.drop(columns="auprc"), "no draws of auprc"),
        (lambda draws: draws.iloc[:-1], "has 299 draws, metrics.json says 300"),
    ],
)
def test_draws_that_are_not_whole_are_refused(
    project: Path, params: Callable[..., compare.Params], change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    path = project / "reports/evaluate/small_cnn-fine_tune-full/draws.parquet"
    change(pd.read_parquet(path)).to_parquet(path)
    with pytest.raises(UserError, match=rf"{message}.*dvc repro -f evaluate@small_cnn-fine_tune-full"):
        analyse(params())
