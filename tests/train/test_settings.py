"""Whatever stands in params.yaml: a training's settings, or a message that names the key."""

from __future__ import annotations

import json
import typing
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel

from stages.shared.core.errors import UserError
from stages.shared.core.settings import parse
from stages.train import Params
from stages.train.plan.strategies import make_plan

GOOD = {
    "task": "classification", "seed": 0, "sample": {}, "epochs": 3, "batch_size": 16, "strategy": {"plan": "fine_tune"},
    "backbone": {"source": "lightbox", "name": "small_cnn", "weights": "w.pth"},
}  # fmt: skip
BLOCKS = ["stem", "block1", "block2", "block3"]
PLACES = {"strategy": "strategies.a", "backbone": "backbones.b", "sample": "samples.c"}

words = st.sampled_from(["all", "auto", "none", "imagenet", "adam", "step", "mixup", "fine_tune", "films"]) | st.text(
    max_size=6
)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | words | st.just(10**30) | st.sampled_from([0, 1, 0.5])
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(scalars, inner, max_size=3)
)


def models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in typing.get_args(annotation) for model in models(inner)]


def names(annotation: Any) -> list[str]:
    if typing.get_origin(annotation) is typing.Literal:
        return list(typing.get_args(annotation))
    return [name for inner in typing.get_args(annotation) for name in names(inner)]


def section(model: type[BaseModel]) -> st.SearchStrategy[dict[Any, Any]]:
    """Some of the model's keys, each with a valid name, a section of the next level, or anything."""
    values = {
        key: st.one_of(anything, *map(section, models(field.annotation)), *map(st.just, names(field.annotation)))
        for key, field in model.model_fields.items()
    }
    return st.fixed_dictionaries({}, optional=values) | st.dictionaries(scalars, anything, max_size=2)


@given(section(Params))
@example({"epochs": 10**9})
@example({"strategy": {"plan": ["fine_tune"]}})
@example({"optimizer": {"name": "adam", "lr": float("inf")}})
@example({"strategy": {"plan": "linear_probe_fine_tune", "probe_epochs": float("inf")}})
@example({1: 2})
def test_settings_are_understood_or_refused_in_words(values: dict[Any, Any]) -> None:
    result = read(values)
    if isinstance(result, str):
        assert result.startswith(("params.yaml: ", "strategy: "))
    else:
        json.dumps(result.model_dump(mode="json"), allow_nan=False)  # as recipe.json has it


def read(values: dict[Any, Any]) -> Params | str:
    """The settings, or the message of what is wrong with them or their plan."""
    try:
        params = parse(Params, {**GOOD, **values}, "train", elsewhere=PLACES)
        assert len(make_plan(params.strategy, BLOCKS, params.epochs)) == params.epochs <= 100_000
    except UserError as error:
        return str(error)
    return params
