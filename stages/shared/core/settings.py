"""The base of every Params model, params.yaml as plain values, and messages for what is wrong in it."""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter, ValidationError

from .errors import UserError, closest, unknown
from .paths import PARAMS


class Settings(BaseModel):
    """Frozen; refuses unknown keys, and numbers that are not finite. A docstring under a field is its documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


def without(values: Any, key: str, remedy: str) -> Any:
    """For a validator before all others: refuses a key that an older version had. `remedy`: what to write in its place;
    {value} stands for what it was set to."""
    if isinstance(values, Mapping) and key in values:
        raise ValueError(f"{key}: this key is gone. {remedy.format(value=values[key])}")
    return values


def _compiles(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is not a regular expression: {error}.") from None
    return value


Expression = Annotated[str, AfterValidator(_compiles)]
"""A regular expression."""


def read(path: Path = PARAMS) -> dict[str, Any]:
    """The file as plain values.

    Raises:
        UserError: the file is missing, is not YAML, has a key twice or one that is no text, or is not a mapping.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file in {Path.cwd()}. Run from the root of the repository.") from None
    except (YAMLError, UnicodeDecodeError) as error:
        message = str(error).replace('"<unicode string>"', path.name)
        raise UserError(f"{path}: not readable as YAML. {message}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected a mapping of sections, found {type(values).__name__}.")
    try:
        _check_keys(values, f"{path}")
    except RecursionError:
        raise UserError(
            f"{path}: an alias (*name) stands inside its own anchor (&name). Write the values out."
        ) from None
    return values


def _check_keys(values: Any, where: str) -> None:
    if isinstance(values, list):
        values = dict(zip(map(str, range(len(values))), values, strict=True))
    if isinstance(values, dict):
        for key, value in values.items():
            if not isinstance(key, str):
                raise UserError(f"{where}: {key!r} is a key and not text. Write it in quotes: '{key}'.")
            _check_keys(value, f"{where}: {key}" if where == str(PARAMS) else f"{where}.{key}")


T = typing.TypeVar("T", bound=BaseModel)


def parse(model: type[T], values: Mapping[str, Any], where: str = "", elsewhere: Mapping[str, str] | None = None) -> T:
    """`values` as a `model`, or as one of a union of models; every fault in one UserError, one line each.

    `where` is the dotted path of `values` in the file; `elsewhere` gives that of fields which stand outside it.
    """
    try:
        return TypeAdapter(model).validate_python(values)
    except ValidationError as error:
        lines = [_explain(model, values, fault, where, elsewhere or {}) for fault in error.errors()]
        raise UserError("\n".join(f"{PARAMS}: {line}" for line in dict.fromkeys(lines))) from None


def _explain(model: Any, values: Any, fault: Mapping[str, Any], where: str, elsewhere: Mapping[str, str]) -> str:
    owner, path = _follow(model, values, fault["loc"])
    start = [elsewhere[path[0]]] if path and path[0] in elsewhere else [where, *path[:1]]
    dotted = ".".join(part for part in [*start, *path[1:]] if part)
    if fault["type"] == "extra_forbidden":
        valid = [name for name in owner.model_fields if owner is not model or name not in elsewhere]
        guess = closest(fault["loc"][-1], valid)
        hint = f" Did you mean {guess!r}?" if guess else ""
        return f"{dotted}: unknown key.{hint} Valid keys: {', '.join(valid)}."
    if fault["type"] == "missing":
        return f"{dotted}: missing. Add it; `git diff {PARAMS}` shows what was removed."
    if fault["type"] == "union_tag_invalid":
        discriminator, *valid = re.findall("'([^']*)'", "{discriminator} {expected_tags}".format(**fault["ctx"]))
        return str(unknown(f"{dotted}.{discriminator}", fault["ctx"]["tag"], valid))
    if fault["type"] == "value_error":  # our own validators already say it in full
        return f"{dotted}: {fault['ctx']['error']}"
    message = fault["msg"][0].lower() + fault["msg"][1:]
    return f"{dotted}: {message}; found {fault['input']!r}."


def _follow(model: Any, values: Any, loc: Sequence[int | str]) -> tuple[type[BaseModel], list[str]]:
    """The model that owns the last item of `loc`, and `loc` as keys of the file: pydantic's also has the tags of union
    members, which the file does not have as keys."""
    owners, path = _models(model), list[str]()
    for i, part in enumerate(loc):
        last = i == len(loc) - 1
        field = next((owner.model_fields[part] for owner in owners if part in owner.model_fields), None)
        inside = isinstance(values, Mapping) and part in values
        if inside or isinstance(part, int) or (field and last):
            path.append(str(part))
            if not last:
                owners = (_models(field.annotation) if field else None) or owners
                values = values[part]
        else:
            tags = {owner: [typing.get_args(f.annotation) for f in owner.model_fields.values()] for owner in owners}
            owners = [owner for owner in owners if any(part in names for names in tags[owner])] or owners
    return owners[0], path


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Every model in a type: the members of a union, the items of a container."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in typing.get_args(annotation) for model in _models(inner)]
