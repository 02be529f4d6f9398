"""params.yaml as a whole: its sections, and what one stage gets of them.

A stage's Params has its own section, and the outer fields it declares under these names; `dvc.yaml` lists the same
params for it (a test compares the two), so a stage cannot depend on what DVC does not watch.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, TypeVar

from . import compare, download, embed, evaluate, explain, floor, preprocess, train, validate
from .shared.core.errors import UserError, unknown
from .shared.core.matrix import Matrix
from .shared.core.paths import PARAMS, Key
from .shared.core.registered import Registered
from .shared.core.settings import Settings, parse
from .train.params.backbone import Backbone
from .train.params.sample import Sample
from .train.params.strategies import Strategy

ToolParams = TypeVar("ToolParams", bound=Settings)

STAGES: dict[str, ModuleType] = {
    "download": download,
    "validate": validate,
    "preprocess": preprocess,
    "floor": floor,
    "train": train,
    "evaluate": evaluate,
    "embed": embed,
    "explain": explain,
    "compare": compare,
}
PER_MEMBER = ("train", "evaluate", "embed", "explain")
TABLES: dict[str, Any] = {"backbones": Backbone, "strategies": Strategy, "samples": Sample}
OUTER = {
    "task": "task",
    "seed": "seed",
    "matrix": "matrix",
    "evaluate": "evaluate",
    "backbone": "backbones.{backbone}",
    "strategy": "strategies.{strategy}",
    "sample": "samples.{sample}",
}
TOOLS = ("parallel", "serve", "registry", "tune", "drift", "retrain")
"""Commands above the stages (tools.py) with a section of their own. One that is missing has its defaults."""
SECTIONS = ("task", "seed", "matrix", *TABLES, *STAGES, *TOOLS)


def outer_fields(stage: str) -> list[str]:
    """The fields of a stage's Params that come from outside its section."""
    return [name for name in STAGES[stage].Params.model_fields if name in OUTER]


def dvc_params(stage: str) -> list[str]:
    """What dvc.yaml lists under `params:` for a stage; {backbone} and the like stand for its matrix items."""
    return sorted([*(OUTER[name] for name in outer_fields(stage)), stage])


def resolve(stage: str, raw: Mapping[str, Any], key: Key | None = None) -> Any:
    """The Params of one stage, a model of its own; of one member of the matrix if the stage runs once per member.

    Raises:
        UserError: something in its part of params.yaml is wrong; every fault is named.
    """
    outer = {name: _outer_value(name, raw, key) for name in outer_fields(stage)}
    own = section(raw, stage)
    elsewhere = {name: OUTER[name] for name in outer}
    if stage == "train" and key is not None:
        differing = getattr(outer["strategy"], "train", {})  # a memory has none
        _check_clash(f"strategies.{key.strategy}.train", differing, outer)
        own = overridden(own, differing)
        elsewhere |= {name: f"strategies.{key.strategy}.train.{name}" for name in differing}
    _check_clash(stage, own, outer)
    return parse(STAGES[stage].Params, {**own, **outer}, stage, elsewhere=elsewhere)


def _check_clash(where: str, own: Mapping[str, Any], outer: Mapping[str, Any]) -> None:
    if clash := sorted(own.keys() & outer.keys()):
        raise UserError(f"{PARAMS}: {where}.{clash[0]}: unknown key; it is set as {OUTER[clash[0]]}, outside {where}.")


def overridden(values: Mapping[str, Any], differing: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with those that differ, mapping by mapping. An optimizer, a schedule or a loss of another name has keys
    of its own and is taken whole."""
    result = dict(values)
    for name, new in differing.items():
        old = {"name": result[name]} if isinstance(result.get(name), str) else result.get(name)
        if isinstance(new, Mapping) and isinstance(old, Mapping) and new.get("name") in (None, old.get("name")):
            result[name] = overridden(old, new)
        else:
            result[name] = new
    return result


def _outer_value(name: str, raw: Mapping[str, Any], key: Key | None) -> Any:
    where = OUTER[name]
    if "{" not in where:
        return parse_matrix(raw) if name == "matrix" else raw.get(where)
    return entry(where.partition(".")[0], getattr(key, name), raw)


def parse_matrix(raw: Mapping[str, Any]) -> Matrix:
    return parse(Matrix, section(raw, "matrix"), "matrix")


def entry(table: str, name: str, raw: Mapping[str, Any]) -> Any:
    """One definition of `backbones`, `strategies` or `samples`."""
    entries = section(raw, table)
    if name not in entries:
        raise unknown(f"{PARAMS}: {table}", name, entries)
    where = f"{table}.{name}"
    return parse(TABLES[table], section(entries, name, where), where)


def section(values: Mapping[str, Any], name: str, where: str = "") -> Mapping[str, Any]:
    """The settings under a name. Raises UserError when it is no section; `where` says its place in the file."""
    value = values.get(name)
    if not isinstance(value, Mapping):
        raise UserError(f"{PARAMS}: {where or name}: expected a section of settings, found {value!r}.")
    return value


def tool_settings(model: type[ToolParams], raw: Mapping[str, Any], name: str) -> ToolParams:
    """The section of one of TOOLS, as its Params."""
    return parse(model, section(raw, name) if name in raw else {}, name)


def registered_name(raw: Mapping[str, Any]) -> str:
    """registry.name, for tools that are not the registry's own."""
    own = section(raw, "registry") if "registry" in raw else {}
    return parse(Registered, {"name": own["name"]} if "name" in own else {}, "registry").name


def source_in_words(raw: Mapping[str, Any]) -> str:
    """Where the images come from, in a few words."""
    source, download = raw["download"]["source"], raw["download"]
    detail = {"kaggle": "dataset", "folder": "path"}.get(source)
    return f"{source} {download[source][detail]}" if detail else str(source)
