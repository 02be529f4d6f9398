"""The settings that are searched: as Optuna's distributions, as values, and as params.yaml with these values."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from functools import reduce
from itertools import combinations, permutations
from typing import TYPE_CHECKING, Any

from .. import study
from ..params_file import overlay
from ..shared.core.errors import UserError, unknown
from ..shared.core.paths import PARAMS, Key
from .params import Range, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Values = Mapping[str, Any]  # by their place in params.yaml, such as train.optimizer.lr
DIGITS = 3  # of a number: fewer than a search can tell apart, and what is written is what was trained


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Choices are known to Optuna by their JSON, since it takes no lists and mappings."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    def distribution(values: Range | list[Any]) -> BaseDistribution:
        if not isinstance(values, Range):
            return CategoricalDistribution([json.dumps(choice) for choice in values])
        if values.whole:
            return IntDistribution(int(values.low), int(values.high), log=values.log)
        return FloatDistribution(values.low, values.high, log=values.log)

    return {place: distribution(values) for place, values in space.items()}


def values_of(space: Space, suggested: Mapping[str, Any]) -> dict[str, Any]:
    """What a trial suggests, as values for params.yaml."""
    return {
        place: _rounded(suggested[place]) if isinstance(values, Range) else json.loads(suggested[place])
        for place, values in space.items()
    }


def _rounded(number: float) -> float:
    return number if isinstance(number, int) else float(f"{number:.{DIGITS}g}")


def suggested_by(space: Space, values: Values) -> dict[str, Any] | None:
    """What a trial would suggest for these values; None: they lie outside."""
    suggested: dict[str, Any] = {}
    for place, options in space.items():
        value = values[place]
        if isinstance(options, Range):
            if isinstance(value, bool) or not isinstance(value, int | float):
                return None
            if not options.low <= value <= options.high or (options.whole and value != int(value)):
                return None
            suggested[place] = int(value) if options.whole else float(value)
        elif value in options:
            suggested[place] = json.dumps(options[options.index(value)])
        else:
            return None
    return suggested


def present(space: Space, raw: Mapping[str, Any], key: Key) -> dict[str, Any]:
    """The values as they are; None: the setting is not set, or does not exist, as the momentum of adam. A choice that
    means the same stands for it: `constant` for {name: constant, warmup_epochs: 0}."""
    settings = dump(raw, key)
    values = {place: value_at(place, settings, key) for place in space}
    for place, options in space.items():
        if not isinstance(options, Range):
            same = (choice for choice in options if in_full(place, choice, raw, key) == values[place])
            values[place] = next(same, values[place])
    return values


def in_full(place: str, value: Any, raw: Mapping[str, Any], key: Key) -> Any:
    """A value with all its fields, as a training would have it: a mapping may leave out those that stay as they are."""
    return value_at(place, dump(with_values(raw, key, {place: value}), key), key)


def value_at(place: str, settings: Any, key: Key) -> Any:
    """Of the settings of a training; None where there is no such place."""
    names = path_in_params(place, key)
    return reduce(lambda inner, name: inner.get(name) if isinstance(inner, Mapping) else None, names, settings)


def dump(raw: Mapping[str, Any], key: Key) -> dict[str, Any]:
    """All settings of the target's training."""
    settings: dict[str, Any] = study.resolve("train", raw, key).model_dump(mode="json")
    return settings


def starts(space: Space, raw: Mapping[str, Any], key: Key) -> list[Any]:
    """Name and SHA-256 of the weights that trials start from: the present ones, and those of each choice."""
    choices = [{place: one} for place, options in space.items() if not isinstance(options, Range) for one in options]
    several = [study.resolve("train", with_values(raw, key, values), key) for values in ({}, *choices)]
    # one of each, for a file of weights is read to its end
    unlike = {(params.backbone.weights, params.architecture.name, params.strategy.plan): params for params in several}
    return [study.STAGES["train"].starting_weights(params) for params in unlike.values()]


def fixed(space: Space, raw: Mapping[str, Any], key: Key) -> dict[str, Any]:
    """All other settings of the training, which every trial shares."""
    settings = dump(raw, key)
    for place in space:
        *path, last = path_in_params(place, key)
        section = reduce(lambda inner, name: inner.get(name) or {}, path, settings)
        section.pop(last, None)
    return settings


def path_in_params(place: str, key: Key) -> list[str]:
    """Where a place in params.yaml lies in the Params of the target's training."""
    place = as_of_train(place, key)
    for root, field in ((f"strategies.{key.strategy}.", "strategy."), (f"backbones.{key.backbone}.", "backbone.")):
        if place.startswith(root):
            return (field + place.removeprefix(root)).split(".")
    return place.removeprefix("train.").split(".")


def as_of_train(place: str, key: Key) -> str:
    """strategies.<its own>.train.epochs -> train.epochs: two places of one setting."""
    own = f"strategies.{key.strategy}."
    return place.removeprefix(own) if place.startswith(f"{own}train.") else place


def changes(values: Values, key: Key) -> dict[str, Any]:
    """What these values change in params.yaml, nested. A setting of train is written as one of the target's strategy:
    written where it is, it would train every model of the matrix again."""
    nested: dict[str, Any] = {}
    for place, value in values.items():
        *path, last = written_at(place, key).split(".")
        section = reduce(lambda inner, name: inner.setdefault(name, {}), path, nested)
        section[last] = value
    return nested


def written_at(place: str, key: Key) -> str:
    return f"strategies.{key.strategy}.{place}" if place.startswith("train.") else place


def with_values(raw: Mapping[str, Any], key: Key, values: Values) -> dict[str, Any]:
    """params.yaml with these values."""
    changed = copy.deepcopy(dict(raw))
    overlay(changed, changes(values, key))
    return changed


def stale(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Key]:
    """The members of the matrix that the change trains again."""
    keys = study.parse_matrix(after).keys()
    return [key for key in keys if study.resolve("train", before, key) != study.resolve("train", after, key)]


def check(space: Space, raw: Mapping[str, Any], key: Key) -> None:
    """Every choice and both ends of every range, each alone, as a training would have it.

    Raises:
        UserError: a setting is none of the target's, or a value is not valid.
    """
    roots = ("train", f"strategies.{key.strategy}", f"backbones.{key.backbone}")
    _check_apart(space, key)
    for place, options in space.items():
        if not place.startswith(tuple(f"{root}." for root in roots)):
            raise UserError(
                f"{PARAMS}: tune.space: {place}: a search for {key} can change settings below {', '.join(roots)}. "
                "All trials share the images, so preprocess and samples stay as they are."
            )
        for value in ends(options):
            _check_value(place, value, raw, key)
        if not isinstance(options, Range):
            _check_unlike(place, options, raw, key)


def _check_apart(space: Space, key: Key) -> None:
    """Raises UserError when two places are one, or one contains the other: a trial would overwrite its own values."""
    for place, other in permutations(space, 2):
        if f"{written_at(other, key)}.".startswith(f"{written_at(place, key)}."):
            raise UserError(
                f"{PARAMS}: tune.space: {place} and {other} set the same thing. Keep one of them; a choice may be a "
                "whole mapping, such as {name: sgd, lr: 0.01}."
            )


def ends(options: Range | list[Any]) -> list[Any]:
    """The values that tell whether all are valid; of a range also one between the ends, which may not be whole."""
    if not isinstance(options, Range):
        return options
    between = [] if options.whole else [_rounded((options.low + options.high) / 2)]
    return [options.low, *between, options.high]


def _check_value(place: str, value: Any, raw: Mapping[str, Any], key: Key) -> None:
    try:
        params = study.resolve("train", with_values(raw, key, {place: value}), key)
        study.STAGES["train"].check(params)
    except UserError as error:
        message = str(error).removeprefix(f"{PARAMS}: ")
        raise UserError(f"{PARAMS}: tune.space: {place}: {value!r} is not valid. {message}") from None


def _check_unlike(place: str, choices: list[Any], raw: Mapping[str, Any], key: Key) -> None:
    """Raises UserError when two choices are the same setting: trials would be spent on telling them apart."""
    full = [in_full(place, choice, raw, key) for choice in choices]
    for (i, one), (j, other) in combinations(enumerate(full), 2):
        if one == other:
            raise UserError(
                f"{PARAMS}: tune.space: {place}: {choices[i]!r} and {choices[j]!r} are the same setting: {one}. Keep "
                "one of them."
            )


def check_metric(metric: str, task: str, space: Space, key: Key) -> None:
    """Raises UserError when the task watches no such metric, or the search would change what it measures."""
    from ..shared.measures import MEASURES

    watched = ["val_loss", *MEASURES[task].watched]
    if metric not in watched:
        raise unknown(f"{PARAMS}: tune.metric (task: {task})", metric, watched)
    loss = [place for place in space if as_of_train(place, key).startswith(("train.loss", "train.class_weights"))]
    if metric == "val_loss" and loss:
        raise UserError(
            f"{PARAMS}: tune.metric: val_loss cannot judge a search that changes the loss ({', '.join(loss)}). Take "
            f"another metric: {', '.join(watched[1:])}."
        )
