"""Rows of neighbours that vote, and what the page shows of the features."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages import compare
from stages.compare.numbers.comparison import Study, analyse
from stages.compare.page.features import POINTS
from stages.compare.stage import write_tables
from stages.shared.core.files import read_json, write_json
from stages.shared.core.job import Job
from stages.shared.core.paths import Key
from stages.shared.measures import MEASURES
from stages.shared.measures.judge import Resampling, judge, write

TASK = MEASURES["classification"]


def let_neighbours_vote(project: Path) -> None:
    """Every model's neighbours answer as the model does, a little less surely."""
    for folder in sorted((project / "reports/evaluate").iterdir()):
        table = pd.read_parquet(folder / "predictions.parquet")
        columns = [name for name in table if name.startswith("prob_")]
        noise = np.random.default_rng(0).dirichlet(np.ones(len(columns)), len(table))
        table[columns] = 0.7 * table[columns] + 0.3 * noise
        names = [name.removeprefix("prob_") for name in columns]
        table["predicted"] = pd.Categorical.from_codes(table[columns].to_numpy().argmax(axis=1), names)
        embed = project / "reports/embed" / folder.name
        write(embed / "knn", table, judge(table, TASK, Resampling(300, 0.95, seed=0)))
        write_json(embed / "embed.json", read_json(embed / "embed.json") | {"knn": {"k": 5}})


@pytest.fixture
def voted(project: Path, params: Callable[..., compare.Params]) -> Study:
    let_neighbours_vote(project)
    return analyse(params())


def test_neighbours_have_rows_of_their_own_and_are_told_apart(voted):
    keys = set(voted.models["key"])
    rows = voted.board[voted.board["kind"] == "neighbours"]
    assert set(rows["key"]) == {str(replace(key_of(name), strategy=f"{key_of(name).strategy}+knn")) for name in keys}
    assert len(voted.ranked) == len(keys)
    assert {m.kind for m in voted.ranked} == {"model"}
    assert set(voted.shown["kind"]) == {"model"}


def key_of(name: str) -> Key:
    return Key(*name.split("-"))


def test_validation_chooses_no_neighbours_and_strategies_are_compared_without_them(voted):
    (chosen,) = voted.board.loc[voted.board["chosen"], "key"]
    assert "+knn" not in chosen
    assert not voted.contrasts["strategy"].str.contains("+knn", regex=False).any()
    assert voted.means["strategy"].str.endswith("+knn").sum() == len(voted.means) / 2


def test_the_difference_to_the_own_head_is_that_of_the_two_rows(voted):
    values = voted.means.set_index(["backbone", "strategy", "sample"])["value"]
    assert len(voted.votes) == len(values) / 2
    for row in voted.votes.itertuples():
        own, neighbours = (values[row.backbone, row.strategy + end, row.sample] for end in ("", "+knn"))
        assert (row.head, row.value) == pytest.approx((own, neighbours))
        assert row.difference == pytest.approx(neighbours - own)
        assert row.low <= row.difference <= row.high


def test_the_page_has_a_map_with_a_thumbnail_for_every_point(project, params):
    let_neighbours_vote(project)
    pair = {"path": "a", "split": "test", "other": "b", "other_split": "train", "cosine": 0.999}
    index = pd.read_parquet(project / "data/processed/index.parquet")
    pair |= {"path": index.path[index.split == "test"].iloc[0], "other": index.path[index.split == "train"].iloc[0]}
    for folder in (project / "reports/embed").iterdir():
        pd.DataFrame([pair]).to_csv(folder / "leaks.csv", index=False)
    compare.run(params(), Job())
    page = (project / "reports/compare/index.html").read_text()
    data = json.loads(re.search('id="atlas-data">(.*?)</script>', page, flags=re.S)[1])
    count = len(data["paths"])
    assert count == min(POINTS, len(index))
    assert page.count("<circle r=") == count <= data["columns"] ** 2
    for places in data["models"].values():
        assert {len(values) for values in places.values()} == {count}
    labels = index.set_index("path").label.astype(str)
    assert [data["classes"][k] for k in data["label"]] == labels[data["paths"]].tolist()
    assert re.search("#atlas .thumb { background-image: url\\(data:image/jpeg;base64,", page)
    assert f"{pair['path']}<br>{pair['other']}" in page
    assert "found by 6 of 6 models" in page
    assert "fine_tune+knn" in page
    alike = re.findall('alt="Training image ([^"]*)"', page)
    assert alike
    assert set(alike) <= set(index.path[index.split == "train"])
    maps = {path.stem for path in (project / "reports/compare/embeddings").iterdir()}
    assert maps == set(data["models"])


def test_without_votes_there_are_no_rows_of_neighbours(project, params):
    study = analyse(params())
    assert set(study.board["kind"]) == {"model"}
    assert study.votes.empty


def test_the_terminal_lists_models_and_says_where_the_neighbours_are(project, params, capsys):
    let_neighbours_vote(project)
    study = analyse(params())
    write_tables(project / "reports/compare", study)
    compare.show()
    text, neighbours_first = capsys.readouterr().out, int(study.board["kind"][0] == "neighbours")
    assert len(re.findall(r"^ *[=!<]* +.*\+knn", text, flags=re.MULTILINE)) == neighbours_first
    places = [int(place) for place in re.findall(r"^ *(\d+)[ =!<]+", text, flags=re.MULTILINE)]
    assert places == list(range(1, len(study.models) + 1))
    assert ("+knn: no model, so" in text) == bool(neighbours_first)
    assert f"not shown: {6 - neighbours_first} rows of neighbours" in " ".join(text.split())
