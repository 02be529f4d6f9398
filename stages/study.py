"""params.yaml as a whole: every section checked before any work, and what one stage gets of it.

A stage's Params has its own section, and the outer fields it declares under these names; `dvc.yaml` lists the same
params for it (a test compares the two), so a stage cannot depend on what DVC does not watch.

`check` asks the Params models alone, which takes a tenth of a second. `check_all` then asks the stages' own `check`,
for what only the libraries know: names of networks and transforms, sizes, plans.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from . import compare, download, embed, evaluate, explain, floor, preprocess, train, validate
from .shared.core.errors import UserError, unknown
from .shared.core.files import atomic
from .shared.core.matrix import Matrix
from .shared.core.paths import PARAMS, Key, find_input, project_root
from .shared.core.settings import parse
from .shared.core.task import NEEDS
from .train.params.backbone import Backbone
from .train.params.sample import Sample
from .train.params.strategies import Strategy

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
SECTIONS = ("task", "seed", "matrix", *TABLES, *STAGES)
AXES = {
    "backbone": "backbones",
    "strategy": "strategies",
    "sample": "samples",
}  # of the matrix, and where each is defined
LIBRARIES = (
    "albumentations",
    "great-expectations",
    "timm",
    "torch",
    "torchvision",
)  # asked by the checks of the stages
CHECKED = ".lightbox/checked.txt"  # a line per study that the libraries have accepted, the newest last
REMEMBERED = 100  # of those


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
    section = _section(raw, stage)
    clash = sorted(section.keys() & outer.keys())
    if clash:
        raise UserError(f"{PARAMS}: {stage}.{clash[0]}: unknown key; it is set as {OUTER[clash[0]]}, outside {stage}.")
    return parse(STAGES[stage].Params, {**section, **outer}, stage, elsewhere={name: OUTER[name] for name in outer})


def _outer_value(name: str, raw: Mapping[str, Any], key: Key | None) -> Any:
    where = OUTER[name]
    if "{" not in where:
        return parse_matrix(raw) if name == "matrix" else raw.get(where)
    return entry(where.partition(".")[0], getattr(key, name), raw)


def parse_matrix(raw: Mapping[str, Any]) -> Matrix:
    return parse(Matrix, _section(raw, "matrix"), "matrix")


def entry(table: str, name: str, raw: Mapping[str, Any]) -> Any:
    """One definition of `backbones`, `strategies` or `samples`."""
    entries = _section(raw, table)
    if name not in entries:
        raise unknown(f"{PARAMS}: {table}", name, entries)
    where = f"{table}.{name}"
    return parse(TABLES[table], _section(entries, name, where), where)


def _section(values: Mapping[str, Any], name: str, where: str = "") -> Mapping[str, Any]:
    section = values.get(name)
    if not isinstance(section, Mapping):
        raise UserError(f"{PARAMS}: {where or name}: expected a section of settings, found {section!r}.")
    return section


@contextmanager
def collecting(faults: list[str]) -> Iterator[None]:
    """A UserError of the block becomes faults, so that the user reads all of them at once."""
    try:
        yield
    except UserError as error:
        faults += str(error).splitlines()


def _raise_all(faults: Sequence[str]) -> None:
    """All of them in one error, each once."""
    if faults:
        raise UserError("\n".join(dict.fromkeys(faults)))


def check(raw: Mapping[str, Any]) -> list[Key]:
    """Every section, every definition, every member of the matrix; returns the members.

    Raises:
        UserError: all faults that were found, one a line.
    """
    faults = [str(unknown(PARAMS.name, name, SECTIONS)) for name in raw if name not in SECTIONS]
    for table in TABLES:
        for name in _section(raw, table):
            with collecting(faults):
                entry(table, name, raw)
    with collecting(faults):
        parse_matrix(raw)
    _raise_all(faults)
    keys = _members(raw, faults)
    for stage in STAGES:
        for key in keys if stage in PER_MEMBER else [None]:
            with collecting(faults):
                resolve(stage, raw, key)
    _raise_all(faults)
    check_needs(raw)
    return keys


def check_needs(raw: Mapping[str, Any]) -> None:
    """Whether the images are what the task works on."""
    task, images = raw["task"], resolve("validate", raw)
    needs, labels = NEEDS[task], ", ".join(images.classes)
    if len(images.classes) < needs.classes:
        raise UserError(
            f"{PARAMS}: validate.classes: only {labels}, but task {task} needs at least {needs.classes} classes. Add "
            "another one" + ("." if images.mask is None else ", or set task: segmentation.")
        )
    if needs.masks and images.mask is None:
        raise UserError(
            f"{PARAMS}: validate.mask: null, but task {task} learns from masks. Say where the mask of an image "
            "lies, e.g. {lung: 'masks/{stem}.png'}, or set task: classification."
        )
    names = [name for step in resolve("preprocess", raw).steps for name in (step if isinstance(step, dict) else [step])]
    if needs.masks and "CropToMask" in names:
        raise UserError(
            f"{PARAMS}: preprocess.steps: CropToMask cuts each image to its mask, but task {task} learns to find that "
            "mask: the crop would tell the answer. Remove the step, or set task: classification."
        )
    check_columns(resolve("download", raw), images)


def check_columns(source: download.Params, images: validate.Params) -> None:
    """Whether the columns of a table that are compared with words of params.yaml stay as they are."""
    if images.labels is None or source.source == "phantom" or source.privacy == "keep":
        return
    named = images.labels.columns
    for key in ("label_column", "split_column"):
        if key in named and named[key] not in source.pseudonyms.columns:
            raise UserError(
                f"{PARAMS}: validate.labels.{key}: {named[key]!r} is not in download.pseudonyms.columns, so its cells "
                "become pseudonyms, which no class and no part of the split lists. Add it if it identifies nobody."
            )


def _members(raw: Mapping[str, Any], faults: list[str]) -> list[Key]:
    """The members of the matrix; none where it names something that is not defined."""
    matrix = parse_matrix(raw)
    undefined = [
        str(unknown(f"{PARAMS}: matrix.{place}{axis}", name, raw[table]))
        for place, combinations in (("", matrix), ("beside.", matrix.beside))
        for axis, table in AXES.items()
        for name in getattr(combinations, axis)
        if name not in raw[table]
    ]
    if undefined:
        faults += undefined
        return []
    keys = matrix.keys()
    for key in keys:
        with collecting(faults):
            _check_weights(raw, key)
        with collecting(faults):
            _check_fold(raw, key)
    baseline = _section(raw, "compare").get("baseline")
    if baseline is not None and baseline not in list(raw["strategies"]):
        faults.append(str(unknown(f"{PARAMS}: compare.baseline", baseline, raw["strategies"])))
    return keys


def _check_weights(raw: Mapping[str, Any], key: Key) -> None:
    backbone = entry("backbones", key.backbone, raw)
    transfers = entry("strategies", key.strategy, raw).plan != "from_scratch"
    if transfers and backbone.kind == "file" and not find_input(backbone.weights).is_file():
        where = f"{PARAMS}: backbones.{key.backbone}.weights"
        raise UserError(f"{where}: {backbone.weights}: no such file. Put it there, or give none or imagenet.")


def _check_fold(raw: Mapping[str, Any], key: Key) -> None:
    folds, fold = resolve("preprocess", raw).split.folds, entry("samples", key.sample, raw).fold
    if fold >= folds:
        where = f"{PARAMS}: samples.{key.sample}.fold"
        raise UserError(f"{where}: {fold}: preprocess.split.folds makes {folds}. Give 0 to {folds - 1}.")


def images_of(raw: Mapping[str, Any]) -> str:
    """Where the images come from, in a few words."""
    source, download = raw["download"]["source"], raw["download"]
    detail = {"kaggle": "dataset", "folder": "path"}.get(source)
    return f"{source} {download[source][detail]}" if detail else str(source)


def check_all(raw: Mapping[str, Any], anew: bool = False) -> list[Key]:
    """`check`, then the `check` of every stage and member, and whether networks suit the images; returns the members.

    The libraries are asked once for the same settings, code and versions, not by every process of a study; `anew`: even
    if they have accepted them before.

    Raises:
        UserError: all faults that were found, one a line.
    """
    keys = check(raw)
    path, digest = project_root() / CHECKED, _digest(raw)
    accepted = path.read_text().split() if path.exists() else []
    if anew or digest not in accepted:
        _ask_libraries(raw, keys)
        with atomic(path) as partial:
            partial.write_text("\n".join([*accepted, digest][-REMEMBERED:]))
    return keys


def check_data(raw: Mapping[str, Any]) -> None:
    """What only the preprocessed images can tell: asked before the first training, not when a stage behind it fails.

    Raises:
        UserError: all faults that were found, one a line.
    """
    from .shared.arrays.arrays import load_arrays

    faults: list[str] = []
    images = len(load_arrays().index)
    for stage, module in STAGES.items():
        if hasattr(module, "check_data"):
            try:
                module.check_data(resolve(stage, raw), images)
            except UserError as error:
                faults += [_placed(stage, None, line) for line in str(error).splitlines()]
    _raise_all(faults)


def _digest(raw: Mapping[str, Any]) -> str:
    """What the answers of the libraries depend on: the settings, this code, and which libraries they are."""
    digest = hashlib.sha256(f"{raw} {[version(name) for name in LIBRARIES]}".encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        if path.is_file():  # and no editor's lock file, a link to nowhere
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _ask_libraries(raw: Mapping[str, Any], keys: list[Key]) -> None:
    faults: list[str] = []
    for stage, module in STAGES.items():
        if hasattr(module, "check"):
            for key in keys if stage in PER_MEMBER else [None]:
                try:
                    module.check(resolve(stage, raw, key))
                except UserError as error:
                    faults += [_placed(stage, key, line) for line in str(error).splitlines()]
    _raise_all(faults)  # networks and transforms that exist can be asked about images
    for key in keys:
        with collecting(faults):
            _check_images(raw, key)
    _raise_all(faults)


def _placed(stage: str, key: Key | None, line: str) -> str:
    """A stage's check names a fault by its field, e.g. `backbone.name: …`; this says where that stands in the file."""
    name = re.match(r"\w*", line)[0]  # type: ignore[index]  # \w* always matches
    outer = OUTER[name].format(**(vars(key) if key else {})) if name in outer_fields(stage) else f"{stage}.{name}"
    return f"{PARAMS}: {outer}{line.removeprefix(name)}"


def _check_images(raw: Mapping[str, Any], key: Key) -> None:
    """Networks that take images of one size only, and augmentations that need RGB."""
    from .shared.arrays.transforms import Transform
    from .shared.model.backbones.build import only_size

    images, params = resolve("preprocess", raw).spec, resolve("train", raw, key)
    Transform(params.augment, f"{PARAMS}: train.augment", channels=images.channels, keep_size=True)
    if (only := only_size(params.backbone.architecture)) not in (None, images.height_width):
        side = only[0] if only[0] == only[1] else list(only)
        raise UserError(
            f"{PARAMS}: preprocess.size: {list(images.height_width)}: backbones.{key.backbone} takes {side} and "
            f"nothing else. Set preprocess.size: {side}, or take that backbone out of matrix.backbone."
        )
