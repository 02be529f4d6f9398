from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from stages import compare
from stages.compare import terminal
from stages.shared.core.errors import UserError
from stages.shared.core.job import Job


def printed(folder: Path, width: int = 100) -> str:
    out = io.StringIO()
    terminal.show(folder, Console(file=out, width=width, force_terminal=True, color_system=None))
    return out.getvalue()


def test_it_shows_every_model_the_report_and_the_way_to_mlflow(compared: dict[str, Path]) -> None:
    text = printed(compared["binary"])
    table = pd.read_csv(compared["binary"] / "leaderboard.csv")
    for row in table.itertuples():
        assert f"{row.auroc:.3f} [{row.auroc_low:.3f}–{row.auroc_high:.3f}]" in text
    assert "index.html" in text
    assert terminal.MLFLOW_UI in text
    assert text.index("fine_tune") < text.index("from_scratch")


@pytest.mark.parametrize(
    "names", [("small_cnn", "fine_tune"), ("vit_base_patch16_224_augreg_in21k", "progressive_unfreezing")]
)
def test_it_fits_100_columns(compared: dict[str, Path], tmp_path: Path, names: tuple[str, str]) -> None:
    table = pd.read_csv(compared["binary"] / "leaderboard.csv").assign(train_images=123_456, seconds=99_000)
    table.loc[0, ["backbone", "strategy"]] = names
    table.to_csv(tmp_path / "leaderboard.csv", index=False)
    lines = [line for line in printed(tmp_path).splitlines() if "index.html" not in line]
    assert max(map(len, lines)) <= 100
    assert "0.9" in "".join(lines)
    assert "123,456" in "".join(lines)


@pytest.mark.usefixtures("blank_figures")
def test_a_missing_model_has_a_row_and_is_counted(project: Path, params: Callable[..., compare.Params]) -> None:
    (project / "reports/train/small_cnn-fine_tune-full/summary.json").unlink()
    compare.run(params(samples=0), Job())
    lines = printed(project / "reports/compare").splitlines()
    (row,) = [line for line in lines if "fine_tune" in line and "full" in line]
    assert "missing" in row
    assert not any(character.isdigit() for character in row)
    assert any("1 of 6 models" in line for line in lines)


def test_the_model_that_validation_chose_is_named_and_one_class_models_are_marked(
    compared: dict[str, Path], tmp_path: Path
) -> None:
    table = pd.read_csv(compared["binary"] / "leaderboard.csv")
    chosen = table.loc[table.val_auroc.idxmax()]
    text = printed(compared["binary"])
    assert f"chosen on validation: {chosen.key} (validation AUROC {chosen.val_auroc:.3f})" in text
    assert "!" not in text
    table.assign(one_class=[None, "normal", *[None] * 4]).to_csv(tmp_path / "leaderboard.csv", index=False)
    marked = [line.split()[0] for line in printed(tmp_path).splitlines() if "!" in line]
    assert marked in (["2!", "!"], ["2=!", "!"])


def test_a_tie_is_marked(compared: dict[str, Path], tmp_path: Path) -> None:
    table = pd.read_csv(compared["binary"] / "leaderboard.csv")
    ties = [f"{row.rank}=" for row in table.iloc[1:].itertuples() if row.tie]
    assert 0 < len(ties) < 5
    text = printed(compared["binary"])
    marks = [line.split()[0] for line in text.splitlines() if line.strip()[:1].isdigit()]
    assert [mark for mark in marks if "=" in mark] == ties
    assert "its difference in AUROC to the first row includes zero" in text
    table.assign(tie=[True] + [False] * 5).to_csv(tmp_path / "leaderboard.csv", index=False)
    assert "=" not in printed(tmp_path).split("Report")[0]


def test_a_model_that_is_worse_than_the_floor_is_marked(compared: dict[str, Path], tmp_path: Path) -> None:
    table = pd.read_csv(compared["binary"] / "leaderboard.csv")
    assert "<" not in printed(compared["binary"])
    verdicts = ["better"] * 4 + ["not shown to differ", "worse"]
    table.assign(floor_verdict=verdicts).to_csv(tmp_path / "leaderboard.csv", index=False)
    text = printed(tmp_path)
    assert [line.split()[0].rstrip("<") for line in text.splitlines() if "<" in line.split(" ")[0]] == ["6", ""]
    assert "4 of 6 models are shown to be better, 1 to be worse" in text


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("metric", ["balanced_accuracy", "f1"])
def test_the_metric_that_sorts_comes_first_with_its_interval(
    project: Path, params: Callable[..., compare.Params], metric: str
) -> None:
    compare.run(params(sort_by=metric, samples=0), Job())
    text = printed(project / "reports/compare")
    table = pd.read_csv(project / "reports/compare/leaderboard.csv")
    short = {"balanced_accuracy": "bal.acc", "f1": "F1"}[metric]
    assert next(line for line in text.splitlines() if "strategy" in line).split()[3:5] == [short, "AUROC"]
    for value, low, high, area in table[[metric, f"{metric}_low", f"{metric}_high", "auroc"]].to_numpy():
        assert f"{value:.3f} [{low:.3f}–{high:.3f}]" in text
        assert f"{area:.2f}" in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_long_leaderboard_is_cut_and_says_so(repeats: Path) -> None:
    text = printed(repeats / "reports/compare")
    table = pd.read_csv(repeats / "reports/compare/leaderboard.csv")
    assert f"{table.auroc[29]:.3f} [" in text
    assert sum(line.split()[0].rstrip("=").isdigit() for line in text.splitlines() if line.split()) == 30 + 1
    assert "6 more models are in" in text


def test_without_a_leaderboard_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no leaderboard yet.*make run"):
        terminal.show(tmp_path)


@pytest.mark.usefixtures("blank_figures")
def test_a_run_prints_it_unless_the_variable_defers_it(
    project: Path, params: Callable[..., compare.Params], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    one = params(sample=["full"], strategy=["fine_tune"], samples=0)
    compare.run(one, Job())
    assert capsys.readouterr().out == ""
    monkeypatch.delenv("LIGHTBOX_DEFER_SUMMARY")
    compare.run(one, Job())
    assert "Leaderboard" in capsys.readouterr().out
