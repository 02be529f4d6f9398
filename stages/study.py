"""params.yaml as a whole: every section checked before any work, and what one stage gets of it.

A stage's Params has its own section, and the outer fields it declares under these names; `dvc.yaml` lists the same
params for it (a test compares the two), so a stage cannot depend on what DVC does not watch.

`check` asks the Params models alone, which takes a tenth of a second. `check_all` then asks the stages' own `check`,
for what only the libraries know: names of networks and transforms, sizes, plans.
"""

from __future__ import annotations

import hashlib
import re
import typing
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from . import compare, download, evaluate, explain, preprocess, train, validate
from .shared.core.errors import UserError, unknown
from .shared.core.matrix import Matrix
from .shared.core.paths import PARAMS, Key, find_input, project_root
from .shared.core.settings import parse
from .train.params import Backbone, Sample, Strategy

STAGES: dict[str, ModuleType] = {
    "download": download,
    "validate": validate,
    "preprocess": preprocess,
    "train": train,
    "evaluate": evaluate,
    "explain": explain,
    "compare": compare,
}
PER_MEMBER = ("train", "evaluate", "explain")
TABLES: dict[str, Any] = {"backbones": Backbone, "strategies": Strategy, "samples": Sample}
OUTER = {
    "task": "task",
    "seed": "seed",
    "matrix": "matrix",
    "backbone": "backbones.{backbone}",
    "strategy": "strategies.{strategy}",
    "sample": "samples.{sample}",
}
SECTIONS = ("task", "seed", "matrix", *TABLES, *STAGES)
LibraryCheck = tuple[str, Callable[[], None]]  # the settings that its answer depends on, and what asks
CHECKED = ".lightbox/checked"  # an empty file for every question that the libraries have answered without a fault


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
    outer = {name: _outer(name, raw, key) for name in outer_fields(stage)}
    section = raw.get(stage)
    if not isinstance(section, Mapping):
        raise UserError(f"{PARAMS}: {stage}: expected a section of settings, found {section!r}.")
    clash = sorted(section.keys() & outer.keys())
    if clash:
        raise UserError(f"{PARAMS}: {stage}.{clash[0]}: unknown key; it is set as {OUTER[clash[0]]}, outside {stage}.")
    return parse(STAGES[stage].Params, {**section, **outer}, stage, elsewhere={name: OUTER[name] for name in outer})


def _outer(name: str, raw: Mapping[str, Any], key: Key | None) -> Any:
    where = OUTER[name]
    if "{" not in where:
        return parse_matrix(raw) if name == "matrix" else raw.get(where)
    table = where.partition(".")[0]
    return entry(table, getattr(key, name), raw)


def parse_matrix(raw: Mapping[str, Any]) -> Matrix:
    return parse(Matrix, _mapping(raw, "matrix"), "matrix")


def entry(table: str, name: str, raw: Mapping[str, Any]) -> Any:
    """One definition of `backbones`, `strategies` or `samples`."""
    entries = _mapping(raw, table)
    if name not in entries:
        raise unknown(f"{PARAMS}: {table}", name, entries)
    where = f"{table}.{name}"
    kind = TABLES[table]
    if isinstance(kind, type):
        return parse(kind, _mapping(entries, name, where), where)
    return _strategy(_mapping(entries, name, where), where)


def _strategy(values: Mapping[str, Any], where: str) -> Any:
    """A union: find the plan first, so that a fault is explained for that plan alone."""
    plans = {model.model_fields["plan"].annotation: model for model in typing.get_args(typing.get_args(Strategy)[0])}
    plans = {typing.get_args(literal)[0]: model for literal, model in plans.items()}
    if values.get("plan") not in plans:
        raise unknown(f"{PARAMS}: {where}.plan", values.get("plan"), plans)
    return parse(plans[values["plan"]], values, where)


def _mapping(values: Mapping[str, Any], name: str, where: str | None = None) -> Mapping[str, Any]:
    section = values.get(name)
    if not isinstance(section, Mapping):
        raise UserError(f"{PARAMS}: {where or name}: expected a section of settings, found {section!r}.")
    return section


def check(raw: Mapping[str, Any]) -> list[Key]:
    """Every section, every definition, every member of the matrix; returns the members.

    Raises:
        UserError: all faults found, one a line.
    """
    _raise(_faults(raw))
    return parse_matrix(raw).keys()


def _raise(faults: Iterator[str]) -> None:
    """All of them in one error, each line once."""
    lines = [line for fault in faults for line in fault.splitlines()]
    if lines:
        raise UserError("\n".join(dict.fromkeys(lines)))


def _faults(raw: Mapping[str, Any]) -> Generator[str, None, None]:
    for name in raw:
        if name not in SECTIONS:
            yield str(unknown(PARAMS.name, name, SECTIONS))
    broken = yield from _collect((parse_matrix, raw), *((entry, t, n, raw) for t in TABLES for n in _names(raw, t)))
    if broken:
        return
    keys = parse_matrix(raw).keys()
    for axis, table in (("backbone", "backbones"), ("strategy", "strategies"), ("sample", "samples")):
        for name in getattr(parse_matrix(raw), axis):
            if name not in raw[table]:
                yield str(unknown(f"{PARAMS}: matrix.{axis}", name, raw[table]))
                broken = True
    if not broken:
        yield from _dangling(raw, keys)
        yield from _collect((_folds, raw, keys))
    for stage in STAGES:
        if stage not in PER_MEMBER:
            yield from _collect((resolve, stage, raw))
        elif not broken:
            yield from _collect(*((resolve, stage, raw, key) for key in keys))


def _dangling(raw: Mapping[str, Any], keys: list[Key]) -> Generator[str, None, None]:
    """Names that lead nowhere: a weights file that is not there, a baseline that is no strategy."""
    for name in dict.fromkeys(k.backbone for k in keys if entry("strategies", k.strategy, raw).plan != "from_scratch"):
        choice = entry("backbones", name, raw)
        if choice.kind == "file" and not find_input(choice.weights).is_file():
            where = f"{PARAMS}: backbones.{name}.weights"
            yield f"{where}: {choice.weights}: no such file. Put it there, or give none or imagenet."
    section = raw.get("compare")
    baseline = section.get("baseline") if isinstance(section, Mapping) else None
    if baseline is not None and baseline not in raw["strategies"]:
        yield str(unknown(f"{PARAMS}: compare.baseline", baseline, raw["strategies"]))


def _folds(raw: Mapping[str, Any], keys: list[Key]) -> None:
    folds = resolve("preprocess", raw).split.folds
    for name in dict.fromkeys(key.sample for key in keys):
        if (fold := entry("samples", name, raw).fold) >= folds:
            raise UserError(
                f"{PARAMS}: samples.{name}.fold: {fold}: preprocess.split.folds makes {folds}. Give 0 to {folds - 1}."
            )


def _names(raw: Mapping[str, Any], table: str) -> list[str]:
    return list(_mapping(raw, table))


def _collect(*calls: tuple[Any, ...]) -> Generator[str, None, bool]:
    """Run each call; yield the message of each that fails; return whether any did."""
    failed = False
    for function, *arguments in calls:
        try:
            function(*arguments)
        except UserError as error:
            failed = True
            yield str(error)
    return failed


def check_all(raw: Mapping[str, Any], anew: bool = False) -> list[Key]:
    """`check`, then the `check` of every stage and member, and what sections have to agree on; returns the members.

    A check is made once for the same settings, not by every process of a study; `anew`: even if it was made before.

    Raises:
        UserError: all faults found, one a line.
    """
    keys = check(raw)
    _raise(_ask_once(_stage_checks(raw, keys), anew))
    _raise(_ask_once(_image_checks(raw, keys), anew))
    return keys


def _ask_once(checks: Iterator[LibraryCheck], anew: bool) -> Generator[str, None, None]:
    for settings, ask in checks:
        marker = project_root() / CHECKED / hashlib.sha256(settings.encode()).hexdigest()[:16]
        if anew or not marker.exists():
            failed = yield from _collect((ask,))
            if not failed:
                marker.parent.mkdir(parents=True, exist_ok=True)
                marker.touch()


def _stage_checks(raw: Mapping[str, Any], keys: list[Key]) -> Iterator[LibraryCheck]:
    for stage, module in STAGES.items():
        if hasattr(module, "check"):
            for key in keys if stage in PER_MEMBER else [None]:
                params = resolve(stage, raw, key)
                yield f"{stage} {params.model_dump_json()}", partial(_ask, stage, key, params)


def _image_checks(raw: Mapping[str, Any], keys: list[Key]) -> Iterator[LibraryCheck]:
    images = resolve("preprocess", raw).spec
    for key in keys:
        params = resolve("train", raw, key)
        settings = f"images {images.model_dump_json()} {params.backbone.model_dump_json()} {params.augment}"
        yield settings, partial(_suit_images, key, params, images)


def _ask(stage: str, key: Key | None, params: BaseModel) -> None:
    """The stage's own check names a fault by its field, e.g. `backbone.name: …`: say where that stands in the file."""
    try:
        STAGES[stage].check(params)
    except UserError as error:
        raise UserError("\n".join(_placed(stage, key, line) for line in str(error).splitlines())) from None


def _placed(stage: str, key: Key | None, line: str) -> str:
    name = re.match(r"\w*", line)[0]  # type: ignore[index]  # \w* always matches
    outer = OUTER[name].format(**(vars(key) if key else {})) if name in outer_fields(stage) else f"{stage}.{name}"
    return f"{PARAMS}: {outer}{line.removeprefix(name)}"


def _suit_images(key: Key, params: Any, images: Any) -> None:
    """Networks that take images of one size only, and augmentations that need RGB."""
    from .shared.arrays.transforms import Transform
    from .shared.model.backbones import only_size

    Transform(params.augment, f"{PARAMS}: train.augment", channels=images.channels, keep_size=True)
    if (only := only_size(params.backbone.architecture)) not in (None, images.height_width):
        side = only[0] if only[0] == only[1] else list(only)
        raise UserError(
            f"{PARAMS}: preprocess.size: {list(images.height_width)}: backbones.{key.backbone} takes {side} and "
            f"nothing else. Set preprocess.size: {side}, or take that backbone out of matrix.backbone."
        )
