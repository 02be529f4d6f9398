from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages import compare
from stages.compare.figures import examples
from stages.compare.numbers.comparison import analyse
from stages.compare.page import pictures
from stages.compare.read import Member
from stages.shared.core.errors import UserError


def test_a_cold_map_leaves_the_film_and_a_hot_one_colours_it() -> None:
    film = Image.fromarray(np.full((8, 8), 90, np.uint8))
    heat = np.zeros((4, 4), np.uint8)
    heat[:, 2:] = 255
    shown = np.asarray(pictures.overlay(film, Image.fromarray(heat)))
    assert shown.shape == (8, 8, 3)
    assert (shown[:, 0] == 90).all()
    assert np.ptp(shown[4, 7].astype(int)) > 20


def test_a_picture_on_the_page_is_small() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (900, 600, 3), dtype=np.uint8)
    uri = pictures.data_uri(Image.fromarray(noise))
    assert uri.startswith("data:image/jpeg;base64,")
    assert len(uri) < 40_000


def test_a_missing_picture_names_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"not readable.*dvc repro -f explain@cnn-a-full"):
        pictures.read(Path("reports/explain/cnn-a-full/images/00.png"))


@pytest.fixture
def member(project: Path, params: Callable[..., compare.Params]) -> Member:
    return analyse(params(strategy=["fine_tune"], sample=["full"])).ranked[0]


def test_sample_films_are_of_different_patients_with_the_classes_by_turns(member: Member) -> None:
    rows = examples.choose(member, 6, seed=0)
    assert member.test["patient"].iloc[rows].nunique() == 6
    assert list(member.answers.truth[rows]) == [0, 1, 0, 1, 0, 1]
    assert rows == examples.choose(member, 6, seed=0) != examples.choose(member, 6, seed=1)


def test_asking_for_more_films_than_patients_gives_one_of_each_patient(member: Member) -> None:
    rows = examples.choose(member, 10_000, seed=0)
    assert len(rows) == member.test["patient"].nunique()
