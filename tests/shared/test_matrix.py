from __future__ import annotations

import json
from pathlib import Path

import pytest

from stages.shared.core.errors import UserError
from stages.shared.core.matrix import Matrix, repro
from stages.shared.core.paths import Key
from stages.shared.core.settings import parse

GOOD = {"backbone": ["small_cnn"], "strategy": ["from_scratch", "fine_tune"], "sample": ["tenth", "full"]}


def test_keys_are_the_product_in_order() -> None:
    keys = parse(Matrix, GOOD).keys()
    assert list(map(str, keys)) == [
        "small_cnn-from_scratch-tenth",
        "small_cnn-from_scratch-full",
        "small_cnn-fine_tune-tenth",
        "small_cnn-fine_tune-full",
    ]


def test_an_empty_list_gives_no_model() -> None:
    assert parse(Matrix, GOOD | {"sample": []}).keys() == []


@pytest.mark.parametrize("name", ["resnet18.a1", "a/b", "ResNet", "fine-tune", "", "x\n"])
def test_a_name_that_dvc_cannot_template_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(UserError, match=r"matrix\.backbone: .* is not a valid name.*templating"):
        parse(Matrix, GOOD | {"backbone": [name]}, "matrix")


def test_a_name_listed_twice_is_refused() -> None:
    with pytest.raises(UserError, match="'tenth' is listed twice"):
        parse(Matrix, GOOD | {"sample": ["tenth", "full", "tenth"]})


BESIDE = GOOD | {"beside": {"backbone": ["vgg16"], "strategy": ["fine_tune"], "sample": ["full"]}}


def test_a_study_that_is_no_full_product_lists_the_rest_beside_it() -> None:
    matrix = parse(Matrix, BESIDE)
    alone = Key("vgg16", "fine_tune", "full")
    assert matrix.keys() == [*parse(Matrix, GOOD).keys(), alone]
    assert matrix.target("evaluate", alone) == "evaluate_beside@vgg16-fine_tune-full"
    assert matrix.target("evaluate", matrix.keys()[0]) == "evaluate@small_cnn-from_scratch-tenth"


def test_a_model_on_both_lists_is_refused() -> None:
    twice = GOOD | {"beside": GOOD | {"strategy": ["fine_tune"], "sample": ["full"]}}
    with pytest.raises(UserError, match="beside: small_cnn-fine_tune-full is already one of the combinations"):
        parse(Matrix, twice)


def test_a_message_names_the_stage_that_dvc_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert repro("train", "vgg16-fine_tune-full") == "`dvc repro train@vgg16-fine_tune-full`"  # no params.yaml to ask
    Path("params.yaml").write_text(json.dumps({"matrix": BESIDE}))
    assert repro("train", "vgg16-fine_tune-full", force=True) == "`dvc repro -f train_beside@vgg16-fine_tune-full`"
