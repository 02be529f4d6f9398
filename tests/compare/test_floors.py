"""Models against the floor, and the warning of a shortcut, in numbers, files and the page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages import compare
from stages.compare.numbers.comparison import analyse
from stages.compare.page import sentences
from stages.shared.core.errors import UserError
from stages.shared.core.job import Job


def test_the_floor_is_the_best_on_validation_and_models_are_compared_on_the_same_draws(project, params):
    study = analyse(params())
    assert study.floor is not None
    assert study.floor.key == "hog"
    assert list(study.floors["name"]) == ["hog", "majority"]
    draws = pd.read_parquet("reports/floor/hog/draws.parquet")["auroc"]
    for row in study.models.itertuples():
        own = study.above.loc[row.key]
        assert own.difference == pytest.approx(row.value - study.floors["value"][0])
        paired = pd.read_parquet(f"reports/evaluate/{row.key}/draws.parquet")["auroc"] - draws
        half, single = (own.high - own.low) / 2, paired.std()
        assert 1.9 * single < half < 4 * single  # for all six at once: wider than one alone
        expected = "better" if own.low > 0 else "worse" if own.high < 0 else "not shown to differ"
        assert own.verdict == expected


def test_the_files_and_the_page_say_who_is_above_the_floor(project, params, blank_figures):
    compare.run(params(), Job())
    out = Path("reports/compare")
    board = pd.read_csv(out / "leaderboard.csv")
    assert (board["floor"] == "hog").all()
    assert board["above_floor"].to_numpy() == pytest.approx(board["auroc"] - board["floor_auroc"], abs=1e-5)
    floors = pd.read_csv(out / "tables/floors.csv")
    assert floors["name"].tolist() == ["hog", "majority"]
    assert floors["auroc"][1] == 0.5
    page = (out / "index.html").read_text()
    better = int((board["floor_verdict"] == "better").sum())
    assert f"{better} of 6 models" in page or "All 6 models" in page or "No model is shown" in page
    assert 'id="floors"' in page
    assert "Possible shortcut" not in page
    assert "No interval lies above the bar of 0.60" in page


def test_a_shortcut_opens_the_page(project, params, blank_figures, shortcuts):
    shortcuts(Path(), ["normal", "pneumonia"], border=0.93)
    compare.run(params(), Job())
    page = Path("reports/compare/index.html").read_text()
    header = page[: page.index("</header>")]
    assert (
        "the label can be told from the border of the image, without the disease (AUROC up to 0.930 [0.880–0.970])"
        in header
    )


def test_what_was_not_measured_is_said(project, params, blank_figures):
    Path("reports/validate/shortcuts/shortcuts.json").write_text(
        json.dumps({"reason": "there is one class", "meters": []})
    )
    Path("reports/validate/shortcuts/pictures.npz").unlink()
    Path("reports/floor/floor.json").write_text(json.dumps({"train_images": 1, "train_patients": 1, "floors": []}))
    compare.run(params(), Job())
    page = Path("reports/compare/index.html").read_text()
    assert "Not measured: there is one class." in page
    assert 'id="floors"' not in page
    assert pd.read_csv("reports/compare/leaderboard.csv")["floor"].isna().all()


def test_floors_of_other_images_or_without_files_are_refused(project, params):
    path = Path("reports/floor/hog/predictions.parquet")
    table = pd.read_parquet(path)
    table[table["split"] != "test"].to_parquet(path)
    with pytest.raises(UserError, match="tested on different images"):
        analyse(params())
    Path("reports/floor/floor.json").unlink()
    with pytest.raises(UserError, match="reports/floor/floor.json: missing. Make it with `dvc repro floor`"):
        analyse(params())


def test_the_sentence_counts_who_is_better_and_who_is_worse(project, params):
    study = analyse(params())
    verdicts = np.array(
        ["better", "not shown to differ", "worse", "not shown to differ", "not shown to differ", "better"]
    )
    above = study.above.assign(verdict=verdicts)
    text = sentences.against_floor(study.models, above, study.floor, study.measure, study.metric)
    assert "2 of 6 models are shown to be better, and 1 is shown to be worse." in text
    text = sentences.against_floor(
        study.models, above.assign(verdict="not shown to differ"), study.floor, study.measure, "auroc"
    )
    assert "No model is shown to be better. A model that is not shown to be better gives no reason" in text
    assert sentences.against_floor(study.models, above, None, study.measure, "auroc") == ""
