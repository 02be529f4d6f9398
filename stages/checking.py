"""Can the study of params.yaml run? Asked before any work, so that a wrong key stops nothing half-way.

`check` asks the Params models alone, which takes a tenth of a second. `check_all` then asks the stages' own `check`,
for what only the libraries know: names of networks and transforms, sizes, plans. `check_source` asks what the names of
the user's files tell, and `check_data` what only the preprocessed images can.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from . import download, validate
from .shared.core.errors import UserError, unknown
from .shared.core.files import atomic
from .shared.core.paths import PARAMS, RAW, Key, find_input, project_root
from .shared.core.task import NEEDS
from .study import OUTER, PER_MEMBER, SECTIONS, STAGES, TABLES, entry, outer_fields, parse_matrix, resolve, section

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
        for name in section(raw, table):
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
    rule = resolve("floor", raw).evaluate.operating_point.rule
    if rule == "normal_quantile" and task != "anomaly":
        raise UserError(
            f"{PARAMS}: evaluate.operating_point.rule: normal_quantile is a rule of task anomaly, and this is "
            f"task {task}. Take youden, sensitivity, specificity or cost."
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
    baseline = section(raw, "compare").get("baseline")
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
    index = load_arrays().index
    keys = parse_matrix(raw).keys()
    samples = {key.sample: key for key in keys}  # what a training takes depends on its sample alone
    for stage, module in STAGES.items():
        if hasattr(module, "check_data"):
            for key in samples.values() if "sample" in outer_fields(stage) else [None]:
                try:
                    module.check_data(resolve(stage, raw, key), index)
                except UserError as error:
                    faults += [_placed(stage, key, line) for line in str(error).splitlines()]
    _raise_all(faults)


def check_source(raw: Mapping[str, Any]) -> None:
    """Whether patterns and table of `validate` fit the user's folder, as far as names and columns tell without packing.

    Raises:
        UserError: there is no such folder, or they do not fit.
    """
    source, images = resolve("download", raw), resolve("validate", raw)
    files = download.listing(source)
    if files is None:
        return
    hidden = source.privacy == "pseudonymise" and images.labels is not None
    try:
        validate.check_names(images, files, table_alone=hidden)
    except UserError as error:  # what validate says of the archive holds of the folder that becomes it
        raise UserError(str(error).replace(str(RAW), source.folder.path)) from None


def has_masks(raw: Mapping[str, Any]) -> bool:
    """Whether any file of the user's folder is named as a mask; True where nobody can tell."""
    files, images = download.listing(resolve("download", raw)), resolve("validate", raw)
    return files is None or any(validate.looks_like_mask(images, name) for name in files)


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
    """A stage's check names a fault by its field, e.g. `backbone.name: …`; this says where that stands in the file. A
    line that begins with a file says it already."""
    name = re.match(r"\w*", line)[0]  # type: ignore[index]  # \w* always matches
    if name not in STAGES[stage].Params.model_fields or find_input(line.partition(":")[0]).is_file():
        return line
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


def members(keys: list[Key]) -> list[Key]:
    """Raises UserError when there are none."""
    if not keys:
        raise UserError(
            f"{PARAMS}: matrix: empty, so there is nothing to compare. `dvc repro preprocess` runs the rest."
        )
    return keys
