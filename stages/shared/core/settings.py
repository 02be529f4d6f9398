"""The base of every Params model, and params.yaml errors in words a user can act on."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import UserError, closest, unknown
from .paths import PARAMS


class Settings(BaseModel):
    """Frozen; refuses unknown keys. A docstring under a field is its documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def read(path: Path = PARAMS) -> dict[str, Any]:
    """The file as plain values.

    Raises:
        UserError: the file is missing, is not YAML, has a key twice, or is not a mapping.
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
    return values


T = typing.TypeVar("T", bound=BaseModel)


def parse(model: type[T], values: Mapping[str, Any], where: str = "", elsewhere: Mapping[str, str] | None = None) -> T:
    """`values` as a `model`; every fault in one UserError, one line each.

    `where` is the dotted path of `values` in the file; `elsewhere` gives that of fields which stand outside it.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [_explain(model, fault, where, elsewhere or {}) for fault in error.errors()]
        raise UserError("\n".join(f"{PARAMS}: {line}" for line in dict.fromkeys(lines))) from None


def _explain(model: type[BaseModel], fault: Mapping[str, Any], where: str, elsewhere: Mapping[str, str]) -> str:
    loc = list(fault["loc"])
    owner, path = _follow(model, loc)
    start = [elsewhere[path[0]]] if path and path[0] in elsewhere else [where, *path[:1]]
    dotted = ".".join(part for part in [*start, *path[1:]] if part)
    if fault["type"] == "extra_forbidden":
        valid = [name for name in owner.model_fields if owner is not model or name not in elsewhere] if owner else []
        guess = closest(loc[-1], valid)
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


def _follow(model: type[BaseModel], loc: list[Any]) -> tuple[type[BaseModel] | None, list[str]]:
    """The model that owns the last item of `loc`, and `loc` as keys of the file (pydantic adds names of union
    members, which are no keys)."""
    owner: type[BaseModel] | None = model
    candidates: list[Any] = [model]
    path: list[str] = []
    for part in loc:
        models = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        named = [m for m in models if m.__name__ == part or (len(models) > 1 and part in _tags(m))]
        if named:
            candidates, owner = named, named[0]
            continue
        if isinstance(part, str) and any(part in m.model_fields for m in models):
            owner = next(m for m in models if part in m.model_fields)
            candidates = _flatten(owner.model_fields[part].annotation)
        elif models:
            owner, candidates = models[0], []
        elif candidates:
            owner, candidates = None, [a for c in candidates for a in _flatten_args(c)]
        path.append(str(part))
    return owner, path


def _tags(model: type[BaseModel]) -> list[Any]:
    """What tells this member of a union from the others: the values of fields that allow one only."""
    literals = [typing.get_args(f.annotation) for f in model.model_fields.values() if _is_literal(f.annotation)]
    return [values[0] for values in literals if len(values) == 1]


def _is_literal(annotation: Any) -> bool:
    return typing.get_origin(annotation) is typing.Literal


def _flatten(annotation: Any) -> list[Any]:
    """The members of a union (through Annotated), or the annotation itself."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _flatten(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [m for a in typing.get_args(annotation) for m in _flatten(a)]
    return [annotation]


def _flatten_args(annotation: Any) -> list[Any]:
    """The element types of a container."""
    return [m for a in typing.get_args(annotation) if a is not Ellipsis for m in _flatten(a)]
