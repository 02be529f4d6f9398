"""Image transforms by name, from params: any albumentations transform, with its arguments checked.

A step is `Name` or `Name: {argument: value}`. Constants of OpenCV may be written by name (`INTER_AREA`).
Legend: images are uint8 H×W×C, masks uint8 H×W; C is 1 (grey) or 3 (RGB).
"""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from typing import Any

from ..core.errors import UserError
from .catalogue import Step, make, split_step

_TRIAL = 96  # px; the side of the image on which a step shows whether it works in grey


def build(
    steps: Sequence[Step],
    where: str,
    *,
    channels: int | None = None,
    deterministic: bool = False,
    keep_size: bool = False,
) -> Transform:
    """The steps as one function. `where` names their place in messages, e.g. "params.yaml: preprocess.steps".

    `deterministic`: every step is always applied (p = 1), and CLAHE's `clip_limit` is the number given, where
    albumentations would draw one between 1 and it. `channels`: refuse steps that cannot work on so many.
    `keep_size`: refuse, when called, a result whose height or width is not the image's own.

    Raises: UserError: an unknown name or argument (with the nearest right one), a value that is refused, a
        step that needs RGB, boxes, volumes or other images.
    """
    transform = Transform(steps, where, channels, deterministic, keep_size)
    if channels == 1:
        transform.check_grey()
    return transform


class Transform:
    """`build`'s result. Same seed, same pixels: whatever was called before, in whichever thread or
    process."""

    def __init__(
        self, steps: Sequence[Step], where: str, channels: int | None, deterministic: bool, keep_size: bool
    ) -> None:
        self._args = (steps, where, channels, deterministic, keep_size)
        self._keep_size = keep_size
        self._labels = [f"{where}[{i}].{split_step(step, f'{where}[{i}]')[0]}" for i, step in enumerate(steps)]
        self._local = threading.local()  # albumentations keeps its random state in the transform: one set per thread
        self._transforms()

    def __reduce__(self) -> tuple[type[Transform], tuple[Any, ...]]:
        return type(self), self._args

    def __len__(self) -> int:
        return len(self._labels)

    def __call__(self, image: Any, mask: Any = None, seed: int = 0) -> Any:
        """A new image, or (image, mask) where a mask is given. `seed` is not negative; it decides all
        randomness."""
        import numpy as np

        shape, data = image.shape, {"image": np.array(image)}
        if mask is not None:
            data["mask"] = np.array(mask)
        for i, (step, label) in enumerate(zip(self._transforms(), self._labels, strict=True)):
            step.set_random_state(np.random.default_rng((seed, i)), random.Random(seed * 1009 + i))
            data = self._apply(step, label, data)
        self._check_shape(shape, data["image"])
        return data["image"] if mask is None else (data["image"], data["mask"])

    def check_grey(self) -> None:
        """Try each step on a grey and on an RGB image: one that fails on grey only needs RGB."""
        import numpy as np

        noise = np.random.default_rng(0).integers(0, 256, (_TRIAL, _TRIAL, 3), dtype=np.uint8)
        mask = np.where(noise[..., 0] > 127, 255, 0).astype(np.uint8)
        for step, label in zip(self._transforms(), self._labels, strict=True):
            if not _works(step, noise[..., :1], mask) and _works(step, noise, mask):
                raise UserError(
                    f"{label}: needs RGB, but the images are grey. Set preprocess.mode: rgb, or remove the step."
                )

    def _transforms(self) -> list[Any]:
        made: list[Any] | None = getattr(self._local, "steps", None)
        if made is None:
            steps, where, _, deterministic, _ = self._args
            made = self._local.steps = [make(step, f"{where}[{i}]", deterministic) for i, step in enumerate(steps)]
        return made

    def _apply(self, step: Any, label: str, data: dict[str, Any]) -> dict[str, Any]:
        image = data["image"]
        try:
            done: dict[str, Any] = step(**data)
        except Exception as error:  # albumentations raises any kind; all of them are about this step on this image
            raise UserError(f"{label}: cannot be applied to an image of {_size(image)}: {error}") from error
        if done["image"].ndim == 2:
            done["image"] = done["image"][..., None]
        if done["image"].dtype != image.dtype or done["image"].shape[2] != image.shape[2]:
            raise UserError(f"{label}: turns {_size(image)} into {_size(done['image'])}; steps keep channels and type.")
        return done

    def _check_shape(self, shape: tuple[int, ...], image: Any) -> None:
        if self._keep_size and image.shape != shape:
            where = self._args[1]
            raise UserError(
                f"{where}: turn {shape[0]}×{shape[1]} pixels into {image.shape[0]}×{image.shape[1]}, but the images of "
                f"a batch have one size. Let the step that crops or pads give {shape[0]}×{shape[1]}, or add Resize."
            )


def _works(step: Any, image: Any, mask: Any) -> bool:
    try:
        done = step(image=image.copy(), mask=mask.copy(), force_apply=True)["image"]
        return bool(done.shape[2] == image.shape[2])
    except Exception:  # a trial: the caller compares two of them, and what fails on both is reported when it is applied
        return False


def _size(image: Any) -> str:
    return f"{'×'.join(map(str, image.shape))} {image.dtype}"
