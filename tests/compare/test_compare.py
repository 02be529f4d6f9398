from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn import metrics as reference

from stages import compare
from stages.compare.numbers.comparison import analyse
from stages.compare.page.render import scale
from stages.shared.core.errors import UserError
from stages.shared.core.job import Job
from stages.shared.measures import MEASURES
from stages.shared.measures.judge import Resampling
from stages.shared.measures.measure import Measure

from .evaluations import write_evaluation

TABLES = ["leaderboard.csv", "repeats.csv", "contrasts.csv", "histories.csv", "tables/roc.csv", "tables/confusion.csv"]


def board(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "leaderboard.csv")


def edit_json(path: Path, change: Callable[[dict], None]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_leaderboard_is_sorted_and_has_every_metric_with_its_interval(compared: dict[str, Path]) -> None:
    table = board(compared["binary"])
    assert list(table["rank"]) == [1, 2, 3, 4, 5, 6]
    assert table.auroc.is_monotonic_decreasing
    assert (table.auroc_low <= table.auroc).all()
    assert (table.auroc <= table.auroc_high).all()
    stated = json.loads((compared["binary"].parent / "evaluate" / table.key[0] / "metrics.json").read_text())
    for name, value in stated["test"].items():
        assert table[name][0] == pytest.approx(value["value"], rel=1e-5)
    assert {"train_images", "parameters", "trainable_parameters", "seconds", "val_auroc"} <= set(table)
    assert (table.metric == "auroc").all()
    assert not any("value" in name for name in table)


@pytest.mark.usefixtures("blank_figures")
def test_sort_by_another_metric(project: Path, params: Callable[..., compare.Params]) -> None:
    """In files, what the metric decides stands under its name."""
    compare.run(params(sort_by="specificity", samples=0), Job())
    out = project / "reports/compare"
    table = board(out)
    assert table.specificity.is_monotonic_decreasing
    assert not table.auroc.is_monotonic_decreasing
    assert (table.metric == "specificity").all()
    assert np.allclose(table.difference, table.specificity - table.specificity[0], atol=1e-5)
    assert {"specificity", "baseline_specificity", "val_specificity"} <= set(pd.read_csv(out / "contrasts.csv"))
    assert {"specificity", "specificity_sd", "val_specificity", "auroc"} <= set(pd.read_csv(out / "repeats.csv"))


@pytest.mark.usefixtures("blank_figures")
def test_sort_by_a_metric_where_lower_is_better(project: Path, params: Callable[..., compare.Params]) -> None:
    compare.run(params(sort_by="brier", samples=0), Job())
    out = project / "reports/compare"
    table = board(out)
    assert table.brier.is_monotonic_increasing
    assert (table.difference[1:] > 0).all()
    assert list(table.key[table.chosen]) == [table.key[table.val_brier.idxmin()]]
    gains = pd.read_csv(out / "contrasts.csv")
    assert set(gains.verdict[gains.high < 0]) <= {"better"}
    assert set(gains.verdict[gains.low > 0]) <= {"worse"}
    page = (out / "index.html").read_text()
    assert 'aria-sort="ascending"><button type="button">Brier' in page


def test_the_bars_of_a_leaderboard_include_every_interval() -> None:
    table = pd.DataFrame({"value": [1.31, -0.12], "value_low": [1.2, -0.25], "value_high": [1.52, 0.3]})
    assert scale(table, Measure("log loss", "log loss", spread=None)) == pytest.approx((-0.3, 1.6))
    assert scale(table[:0], Measure("log loss", "log loss", spread=None)) == (0.0, 1.0)
    assert scale(pd.DataFrame({"value": [0.9], "value_low": [0.62], "value_high": [0.97]}), Measure("", "")) == (0.6, 1)


def test_difference_to_best_is_paired_and_a_tie_is_an_interval_that_includes_zero(compared: dict[str, Path]) -> None:
    table, folder = board(compared["binary"]), compared["binary"].parent / "evaluate"
    assert table.difference[0] == 0
    assert table.tie[0]
    for row in table.iloc[1:].itertuples():
        first, other = (
            pd.read_parquet(folder / key / "predictions.parquet").query("split == 'test'")
            for key in (table.key[0], row.key)
        )
        area = [reference.roc_auc_score(p.label == "pneumonia", p.prob_pneumonia) for p in (other, first)]
        assert row.difference == pytest.approx(area[0] - area[1], abs=1e-5)
        assert row.tie == (row.difference_low <= 0 <= row.difference_high)
    assert table.tie.iloc[1:].any()
    assert not table.tie.all()


def test_metrics_json_has_validation_scores_alone(compared: dict[str, Path]) -> None:
    """What `dvc exp show` prints must not invite to choose by test scores."""
    metrics, table = json.loads((compared["binary"] / "metrics.json").read_text()), board(compared["binary"])
    assert metrics["val_auroc"] == dict(zip(table.key, table.val_auroc, strict=True))
    assert metrics["chosen"] == {"val_auroc": table.val_auroc.max()}
    assert list(table.key[table.chosen]) == [table.key[table.val_auroc.idxmax()]]
    assert set(metrics) == {"chosen", "val_auroc"}


def test_contrasts_name_every_strategy_against_the_baseline(compared: dict[str, Path]) -> None:
    table = pd.read_csv(compared["binary"] / "contrasts.csv")
    assert set(table.strategy) == {"feature_extraction", "fine_tune"}
    assert len(table) == 4
    few = table[table["sample"] == "tenth"]
    assert (few.verdict == "better").all()  # made with a far better score
    assert np.allclose(table.difference, table.auroc - table.baseline_auroc, atol=1e-5)
    assert ((table.low < table.difference) & (table.difference < table.high)).all()


def test_a_class_of_three_is_compared_too(compared: dict[str, Path]) -> None:
    assert set(pd.read_csv(compared["three"] / "tables/roc.csv")["class"]) == {"normal", "bacterial", "viral"}
    confusion = pd.read_csv(compared["three"] / "tables/confusion.csv")
    assert set(confusion.truth) == {"normal", "bacterial", "viral"}


@pytest.mark.parametrize("name", ["binary", "three"])
def test_figures_are_pictures(compared: dict[str, Path], name: str) -> None:
    drawn = {path.stem: Image.open(path) for path in (compared[name] / "figures").iterdir()}
    curves = set(MEASURES["classification"].curves)
    names = {"confusion", "data_efficiency", "histories", "intervals", "plans", "precision_recall_f1", "samples"}
    before_training = {"above_floor", "shortcuts", "shortcut_pictures"}
    probabilities = {"reliability", "risk_coverage"} | ({"decision_curves"} if name == "binary" else set())
    assert names | curves | before_training | probabilities <= set(drawn)
    assert {name.partition("_")[0] for name in set(drawn) - names - curves - before_training - probabilities} == {
        "pareto", "question",
    }  # fmt: skip
    for image in drawn.values():
        assert np.asarray(image.convert("L")).std() > 5


def test_the_same_files_give_the_same_bytes(project: Path, params: Callable[..., compare.Params]) -> None:
    out, runs = project / "reports/compare", []
    for _ in range(2):
        compare.run(params(strategy=["from_scratch", "fine_tune"], sample=["full"], documents=True), Job())
        runs.append({str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()})
    assert runs[0] == runs[1]
    assert set(runs[0]) >= {*TABLES, "index.html", "metrics.json"}


@pytest.mark.usefixtures("blank_figures")
def test_a_model_out_of_the_matrix_leaves_the_comparison_though_its_files_stay(
    project: Path, params: Callable[..., compare.Params]
) -> None:
    compare.run(params(strategy=["from_scratch", "feature_extraction"], sample=["full"]), Job())
    out = project / "reports/compare"
    assert (project / "reports/evaluate/small_cnn-fine_tune-full").is_dir()
    for name in [*TABLES, "metrics.json", "index.html"]:
        assert "fine_tune" not in (out / name).read_text().replace(",fine_tune:", "")


def test_two_backbones_have_rows_of_their_own(project: Path, params: Callable[..., compare.Params]) -> None:
    for stage in ("train", "evaluate", "embed", "explain"):
        for path in list((project / "reports" / stage).iterdir()):
            path.with_name(path.name.replace("small_cnn", "resnet18")).symlink_to(path)
    table = analyse(params(backbone=["small_cnn", "resnet18"])).board
    assert len(table) == 12
    assert (table.groupby("backbone").size() == 6).all()
    assert list(table.difference[:2]) == [0, 0]  # the same predictions under two names


def test_without_any_complete_model_the_first_names_itself_and_the_command(
    project: Path, params: Callable[..., compare.Params]
) -> None:
    for path in (project / "reports/evaluate").glob("*/metrics.json"):
        path.unlink()
    with pytest.raises(
        UserError,
        match=r"no model of the matrix is complete.* small_cnn-\w+-\w+, lacks \S+metrics.json\. .*dvc repro evaluate@small_cnn",
    ):
        analyse(params())


@pytest.fixture
def incomplete(project: Path) -> list[str]:
    """One model never trained; of the other only what an older model left is there."""
    shutil.rmtree(project / "reports/explain/small_cnn-from_scratch-tenth")
    shutil.rmtree(project / "reports/train/small_cnn-fine_tune-full")
    return ["small_cnn-from_scratch-tenth", "small_cnn-fine_tune-full"]


@pytest.mark.usefixtures("blank_figures")
def test_missing_models_stand_last_in_the_leaderboard_without_a_number(
    project: Path, params: Callable[..., compare.Params], incomplete: list[str], compared: dict[str, Path]
) -> None:
    result = compare.run(params(), Job())
    table = board(project / "reports/compare")
    assert list(table.status) == ["complete"] * 4 + ["missing"] * 2
    missing = table.iloc[4:].set_index("key")
    assert set(missing.index) == set(incomplete)
    assert missing.missing_from.to_dict() == dict(zip(incomplete, ["explain", "train"], strict=True))
    names = ["backbone", "strategy", "sample", "kind", "status", "missing_from"]
    assert missing.drop(columns=names).isna().all(axis=None)
    assert result.metrics["missing"] == 2
    assert result.metrics["models"] == 4
    whole = (compared["binary"] / "leaderboard.csv").read_text().splitlines()
    rows = {
        line.split(",")[1]: line.split(",")
        for line in (project / "reports/compare/leaderboard.csv").read_text().splitlines()
    }
    kept = [
        name for name in whole[0].split(",") if not name.startswith(("rank", "difference", "tie", "chosen", "above"))
    ]
    for line in whole[1:]:  # the numbers of the others are written as they always are
        cells = dict(zip(whole[0].split(","), line.split(","), strict=True))
        if cells["key"] not in incomplete:
            now = dict(zip(rows["key"], rows[cells["key"]], strict=True))
            assert {name: now[name] for name in kept} == {name: cells[name] for name in kept}


@pytest.mark.usefixtures("blank_figures")
def test_missing_models_are_in_no_other_table(
    project: Path, params: Callable[..., compare.Params], incomplete: list[str]
) -> None:
    compare.run(params(), Job())
    out = project / "reports/compare"
    assert len(json.loads((out / "metrics.json").read_text())["val_auroc"]) == 4
    for name in ["metrics.json", "histories.csv", "tables/roc.csv"]:
        assert not any(key in (out / name).read_text() for key in incomplete)
    assert "tenth" not in set(pd.read_csv(out / "contrasts.csv")["sample"])  # its baseline is gone


@pytest.mark.parametrize(
    ("path", "stage"),
    [("reports/validate/validation.json", "validate"), ("data/processed/index.parquet", "preprocess")],
)
def test_missing_data_names_the_stage(
    project: Path, params: Callable[..., compare.Params], path: str, stage: str
) -> None:
    (project / path).unlink()
    with pytest.raises(UserError, match=f"{path}: missing.*dvc repro {stage}"):
        analyse(params())


@pytest.mark.parametrize("name", ["history.csv", "summary.json"])
def test_a_damaged_file_names_itself(project: Path, params: Callable[..., compare.Params], name: str) -> None:
    (project / "reports/train/small_cnn-fine_tune-full" / name).write_text("")
    with pytest.raises(UserError, match=rf"{name}: not readable.*dvc repro -f train@small_cnn-fine_tune-full"):
        analyse(params())


def test_an_empty_matrix_is_refused(project: Path, params: Callable[..., compare.Params]) -> None:
    with pytest.raises(UserError, match="matrix: one of backbone, strategy and sample is empty"):
        analyse(params(sample=[]))


def test_models_tested_on_different_images_are_refused(project: Path, params: Callable[..., compare.Params]) -> None:
    path = project / "reports/evaluate/small_cnn-fine_tune-full/predictions.parquet"
    pd.read_parquet(path).query("path != 'normal/p004_0.png'").to_parquet(path)
    with pytest.raises(UserError, match="different images"):
        analyse(params())


def test_predictions_that_contradict_their_metrics_are_refused(
    project: Path, params: Callable[..., compare.Params]
) -> None:
    def change(value: dict) -> None:
        value["test"]["auroc"]["value"] -= 0.01

    edit_json(project / "reports/evaluate/small_cnn-fine_tune-full/metrics.json", change)
    with pytest.raises(UserError, match=r"small_cnn-fine_tune-full: metrics.json has auroc .* stale"):
        analyse(params())


@pytest.mark.usefixtures("blank_figures")
def test_a_metric_without_a_value_is_shown_as_missing(project: Path, params: Callable[..., compare.Params]) -> None:
    key = "small_cnn-from_scratch-tenth"
    edit_json(project / f"reports/evaluate/{key}/metrics.json", lambda v: v["test"].update(auprc=None, npv=None))
    compare.run(params(sample=["tenth"]), Job())
    table = board(project / "reports/compare").set_index("key")
    assert np.isnan(table.auprc[key])
    assert table.auprc.notna().sum() == 2


@pytest.mark.usefixtures("blank_figures")
def test_a_study_without_the_baseline_writes_the_header_of_the_contrasts(
    project: Path, compared: dict[str, Path], params: Callable[..., compare.Params]
) -> None:
    compare.run(params(strategy=["fine_tune"]), Job())
    (header,) = (project / "reports/compare/contrasts.csv").read_text().splitlines()
    assert header == (compared["binary"] / "contrasts.csv").read_text().splitlines()[0]


@pytest.mark.usefixtures("without_floors")
def test_what_cannot_be_computed_is_a_tie_never_a_victory(project: Path, params: Callable[..., compare.Params]) -> None:
    for folder in (project / "reports/evaluate").iterdir():
        table = pd.read_parquet(folder / "predictions.parquet")
        table = table[(table.split == "val") | (table.label == "normal")]  # no AUROC on the test split
        write_evaluation(folder, table, Resampling(100, 0.95, seed=0))
    study = analyse(params())
    assert study.board.auroc.isna().all()
    assert study.board.tie.all()
    assert set(study.contrasts.verdict) == {"not shown to differ"}


@pytest.mark.usefixtures("without_floors")
def test_intervals_have_the_coverage_of_evaluates_params(project: Path, params: Callable[..., compare.Params]) -> None:
    wide = analyse(params()).board
    for path in (project / "reports/evaluate").glob("*/metrics.json"):
        edit_json(path, lambda value: value.update(confidence=0.5))
    narrow = analyse(params()).board
    assert (narrow.confidence == 0.5).all()
    assert (narrow.difference_low[1:] > wide.difference_low[1:]).all()


@pytest.mark.usefixtures("blank_figures")
def test_the_result_is_the_studys_and_has_the_model_that_validation_chose(
    project: Path, params: Callable[..., compare.Params]
) -> None:
    result = compare.run(params(strategy=["from_scratch"], samples=0), Job())
    table = board(project / "reports/compare")
    chosen = table.loc[table.val_auroc.idxmax()]
    assert result.of_study
    assert result.metrics["val/auroc"] == pytest.approx(chosen.val_auroc, rel=1e-5)
    assert not any(name.startswith("test") for name in result.metrics)
    assert result.metrics["models"] == 2
    assert all(path.is_file() for path in result.figures)


def test_it_runs_without_heavy_libraries(project: Path, params: Callable[..., compare.Params]) -> None:
    code = (
        "import sys, json; from stages import compare; from stages.shared.core.job import Job\n"
        "light = {'numpy', 'pandas', 'matplotlib', 'jinja2'} & set(sys.modules)\n"
        "compare.run(compare.Params.model_validate(json.loads(sys.argv[1])), Job())\n"
        "print(sorted(light), [n for n in ('torch', 'sklearn', 'scipy.stats', 'matplotlib.pyplot') if n in sys.modules])"
    )
    root = Path(compare.__file__).parents[2]
    settings = params(sample=["full"], strategy=["fine_tune"]).model_dump_json()
    process = subprocess.run(
        [sys.executable, "-c", code, settings],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(root), "LIGHTBOX_DEFER_SUMMARY": "1"},
    )
    assert process.stdout.strip() == "[] []"
