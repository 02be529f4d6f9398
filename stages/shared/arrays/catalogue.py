"""One step from its name and arguments, both checked, with messages for what is wrong: a transform of albumentations or
one of our own (`content.py`)."""

from __future__ import annotations

import inspect
import os
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

from pydantic import ValidationError

from ..core.errors import UserError, unknown
from .content import OWN, Outcome

if TYPE_CHECKING:
    import numpy as np

Step: TypeAlias = str | Mapping[str, Mapping[str, Any] | None]

_NEEDS = {  # what some transforms need and a single image with its mask cannot give
    "bounding boxes": (
        "AtLeastOneBBoxRandomCrop", "BBoxSafeRandomCrop", "RandomCropNearBBox", "RandomSizedBBoxSafeCrop",
    ),
    "volumes": ("CenterCrop3D", "CoarseDropout3D", "CubicSymmetry", "Pad3D", "PadIfNeeded3D", "RandomCrop3D"),
    "other images beside the one it changes": (
        "FDA", "HistogramMatching", "Mosaic", "OverlayElements", "PixelDistributionAdaptation", "TextImage",
    ),
    "functions written in Python": ("Lambda",),
    "numbers that are not 8-bit; scaling to floats is the model's own last step": (
        "FromFloat", "Normalize", "ToFloat",
    ),
}  # fmt: skip
_RANGES = {  # arguments of which a single number means that number here; albumentations would draw one up to it
    "CLAHE": ("clip_limit",), "GaussianBlur": ("blur_limit", "sigma_limit"),
}  # fmt: skip
_NOT_TRANSFORMS = (
    "BasicTransform", "DualTransform", "ImageOnlyTransform", "Transform3D", "NoOp", "ToTensorV2", "ToTensor3D"
)  # fmt: skip


def _name_and_arguments(step: Step, where: str) -> tuple[str, dict[str, Any]]:
    match step:
        case str():
            return step, {}
        case Mapping() if len(step) == 1:
            name, arguments = next(iter(step.items()))
            if isinstance(arguments, Mapping | None):
                return str(name), dict(arguments or {})
    raise UserError(
        f"{where}: {step!r} is not a step. Valid: `Name` or `Name: {{argument: value}}`, e.g. "
        "`CLAHE: {clip_limit: 2.0}`."
    )


@dataclass(frozen=True)
class Chance:
    """Random numbers, of the two kinds that albumentations draws from."""

    numbers: np.random.Generator
    choices: random.Random


class Function(Protocol):
    """A step that can be applied. `crops`: to what it finds in the image; `moves_pixels`: it may do more than change
    the levels of pixels where they are; `draws`: random numbers decide what it does."""

    @property
    def crops(self) -> bool: ...
    @property
    def moves_pixels(self) -> bool: ...
    @property
    def draws(self) -> bool: ...

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, chance: Chance | None, /) -> Outcome:
        """`chance`: the source of all randomness; not None where it `draws`."""


@dataclass(frozen=True)
class LibraryStep:
    """A transform of albumentations. `always`: even where its own p says now and then."""

    crops: ClassVar[bool] = False

    transform: Any
    _: KW_ONLY
    always: bool = False

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, chance: Chance | None, /) -> Outcome:
        if chance is not None:
            self.transform.set_random_state(chance.numbers, chance.choices)
        data = {"image": image.copy()} | ({} if mask is None else {"mask": mask.copy()})
        result = self.transform(force_apply=self.always, **data)
        return Outcome(result["image"], result.get("mask"))

    @property
    def moves_pixels(self) -> bool:
        return not isinstance(self.transform, library().ImageOnlyTransform)

    @property
    def draws(self) -> bool:
        """False only for what `_RANGES` lists, always applied, with a range of one number: usual, and then the seed,
        a digest of the image, need not be computed."""
        ranges = [getattr(self.transform, name) for name in _RANGES.get(type(self.transform).__name__, ())]
        fixed = bool(ranges) and all(low == high for low, high in ranges)
        return not (fixed and (self.always or self.transform.p == 1))


def name_of(step: Step) -> str:
    """The name of a step that `make` accepts."""
    return step if isinstance(step, str) else next(iter(step))


def make(step: Step, where: str, deterministic: bool) -> tuple[str, Function]:
    """(its name in messages, the step)."""
    name, arguments = _name_and_arguments(step, where)
    if name in OWN:
        return f"{where}.{name}", _own(name, arguments, where, deterministic)
    classes = _classes()
    for need, names in _NEEDS.items():
        if name in names:
            raise UserError(f"{where}: {name} cannot be used here: it needs {need}.")
    if name not in classes:
        raise unknown(where, name, [*classes, *OWN])
    kind, where = classes[name], f"{where}.{name}"
    init = kind.__init__  # type: ignore[misc]  # of this very class, whose arguments we want
    accepted = [p for p in inspect.signature(init).parameters if p not in ("self", "strict")]
    for argument in arguments:
        if argument not in accepted:
            raise unknown(f"{where}: argument", argument, accepted)
    if deterministic:
        arguments = _fix(name, arguments, where)
    arguments = {name: _constant(value, f"{where}.{name}") for name, value in arguments.items()}
    return where, LibraryStep(_construct(kind, arguments, where))


def _own(name: str, arguments: dict[str, Any], where: str, deterministic: bool) -> Function:
    if not deterministic:
        raise UserError(f"{where}: {name} belongs to preprocess.steps: it treats an image in one way, always.")
    for argument in arguments:
        if argument not in OWN[name].model_fields:
            raise unknown(f"{where}.{name}: argument", argument, OWN[name].model_fields)
    try:
        return OWN[name](**arguments)
    except ValidationError as error:
        raise UserError("\n".join(_reasons(error.errors(), f"{where}.{name}"))) from None


def _fix(name: str, arguments: dict[str, Any], where: str) -> dict[str, Any]:
    """Arguments under which the step is applied always."""
    if arguments.get("p", 1) != 1:
        raise UserError(
            f"{where}.p: {arguments['p']!r}, but every image gets every step here. Remove p; steps that are applied "
            "at random belong to train.augment."
        )
    arguments = {**arguments, "p": 1.0}
    if name == "CLAHE":
        arguments = {"clip_limit": 2.0, **arguments}  # usual for films
    for argument in _RANGES.get(name, ()):
        value = arguments.get(argument)
        if isinstance(value, int | float) and not isinstance(value, bool):
            arguments[argument] = (value, value)
    return arguments


def _constant(value: Any, where: str) -> Any:
    """OpenCV's constants by name: INTER_AREA, BORDER_REFLECT_101."""
    if not (isinstance(value, str) and value.startswith(("INTER_", "BORDER_"))):
        return value
    import cv2

    valid = [n for n in dir(cv2) if n.startswith(value.split("_")[0] + "_")]
    if value not in valid:
        raise unknown(where, value, valid)
    return getattr(cv2, value)


def _construct(kind: type, arguments: dict[str, Any], where: str) -> Any:
    owner = next(c for c in kind.__mro__ if "__init__" in vars(c))
    strict = {"strict": True} if "InitSchema" in vars(owner) else {}  # else some bad values only warn, and are replaced
    try:
        return kind(**arguments, **strict)
    except (ValueError, TypeError) as error:
        # albumentations wraps pydantic's error
        faults: list[dict[str, Any]] = getattr(error.__cause__, "errors", lambda: [])()
        raise UserError("\n".join(_reasons(faults, where)) or f"{where}: {error}") from error


def _reasons(faults: Sequence[Mapping[str, Any]], where: str) -> list[str]:
    """One line per argument, in words."""
    lines: dict[str, str] = {}
    for fault in faults:
        path = ".".join([where, *map(str, fault["loc"][:1])])
        message = fault["msg"].removeprefix("Value error, ").rstrip(".")
        value = f"; found {fault['input']!r}" if fault["loc"] and fault["type"] != "missing" else ""
        lines.setdefault(path, f"{path}: {message[0].lower() + message[1:]}{value}.")
    return list(lines.values())


@cache
def library() -> ModuleType:
    """albumentations without its conversion to tensors, for which alone it would import torch: that takes seconds, and
    preprocess needs none of it."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # before the import, which would ask the network for news
    if (part := "albumentations.pytorch") not in sys.modules:
        sys.modules[part] = None  # type: ignore[assignment]  # how Python marks what not to import
    import albumentations

    if sys.modules.get(part) is None:
        sys.modules.pop(part, None)
    module: ModuleType = albumentations
    return module


@cache
def _classes() -> dict[str, type]:
    """Every transform of albumentations that turns one image (and its mask) into another."""
    hidden = {*_NOT_TRANSFORMS, *(name for names in _NEEDS.values() for name in names)}
    base: type = library().BasicTransform
    classes = {name: kind for name, kind in vars(library()).items() if inspect.isclass(kind)}
    return {name: kind for name, kind in classes.items() if issubclass(kind, base) and name not in hidden}
