from __future__ import annotations

import pytest

from stages.shared.core.errors import UserError
from stages.shared.core.matrix import Matrix
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
