"""Image transforms by name, from params: any albumentations transform or step of our own, with its arguments checked.

A step is `Name` or `Name: {argument: value}`. Constants of OpenCV may be written by name (`INTER_AREA`).
Legend: images are uint8 H×W×C, masks uint8 H×W; C is 1 (grey) or 3 (RGB).
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any

from ..core.errors import UserError
from .catalogue import Chance, Function, LibraryStep, Step, make
from .content import Outcome

_TRIAL = 96  # px; the side of the image on which a step shows whether it works in grey


@dataclass(frozen=True)
class Transform:
    """Steps as one function. Same seed, same pixels: in any order, thread or process.

    Raises:
        UserError: when made: an unknown name or argument (with the nearest valid one), a bad value, a step that needs
            RGB, boxes, volumes or other images.
    """

    steps: Sequence[Step]
    where: str
    """Their place in messages, e.g. "params.yaml: preprocess.steps"."""
    _: KW_ONLY
    channels: int | None = None
    """1: refuse steps that cannot work on grey images."""
    deterministic: bool = False
    """Apply every step always (p = 1), CLAHE with exactly the given `clip_limit`, where albumentations would draw one
    between 1 and it, and GaussianBlur likewise. Only then steps of our own are allowed."""
    keep_size: bool = False
    """Refuse, when called, a result whose height or width is not the image's own."""
    _of_thread: dict[int, list[tuple[str, Function]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        for label, step in self._labelled():
            if self.channels == 1 and isinstance(step, LibraryStep) and _needs_rgb(step):
                raise UserError(
                    f"{label}: needs RGB, but the images are grey. Set preprocess.mode: rgb, or remove the step."
                )

    def __call__(self, image: Any, mask: Any = None, seed: int = 0) -> Any:
        """A new image, or (image, mask) where a mask is given. `seed` is not negative; it decides all randomness."""
        import numpy as np

        outcome = Outcome(np.array(image), None if mask is None else np.array(mask))
        for i in range(len(self.steps)):
            outcome = self.apply(i, outcome.image, outcome.mask, lambda: seed)
        if self.keep_size and outcome.image.shape != image.shape:
            height, width = outcome.image.shape[:2]
            raise UserError(
                f"{self.where}: turn {image.shape[0]}×{image.shape[1]} pixels into {height}×{width}, but the images of "
                "a batch have one size. Let the step that crops or pads give "
                f"{image.shape[0]}×{image.shape[1]}, or add Resize."
            )
        return outcome.image if mask is None else (outcome.image, outcome.mask)

    def apply(self, position: int, image: Any, mask: Any, seed: Callable[[], int]) -> Outcome:
        """What the step at that position makes of an image, and of its mask if there is one. `seed` is asked only where
        the step draws random numbers."""
        label, step = self._labelled()[position]
        try:
            result = step(image, mask, _chance(seed(), position) if step.draws else None)
        except UserError as error:
            raise UserError(f"{label}: {error}") from None
        except Exception as error:  # albumentations raises any kind; all of them are about this step on this image
            raise UserError(f"{label}: cannot be applied to an image of {_size(image)}: {error}") from error
        if result.image.ndim == 2:
            result = result._replace(image=result.image[..., None])
        if result.image.dtype != image.dtype or result.image.shape[2] != image.shape[2]:
            raise UserError(f"{label}: turns {_size(image)} into {_size(result.image)}; steps keep channels and type.")
        return result

    @property
    def functions(self) -> list[Function]:
        """The steps, each to be asked what it does."""
        return [step for _, step in self._labelled()]

    def _labelled(self) -> list[tuple[str, Function]]:
        """(name in messages, step) of each step. albumentations keeps its random state in the transform, so each thread
        has its own."""
        thread = threading.get_ident()
        if thread not in self._of_thread:
            self._of_thread[thread] = [
                make(step, f"{self.where}[{i}]", self.deterministic) for i, step in enumerate(self.steps)
            ]
        return self._of_thread[thread]


def _chance(seed: int, position: int) -> Chance:
    import numpy as np

    return Chance(np.random.default_rng((seed, position)), random.Random(seed * 1009 + position))


def _needs_rgb(step: LibraryStep) -> bool:
    """Whether it works on an RGB image and fails on a grey one."""
    import numpy as np

    noise = np.random.default_rng(0).integers(0, 256, (_TRIAL, _TRIAL, 3), dtype=np.uint8)
    mask = np.where(noise[..., 0] > 127, 255, 0).astype(np.uint8)
    trial = replace(step, always=True)
    return not _works(trial, noise[..., :1], mask) and _works(trial, noise, mask)


def _works(step: LibraryStep, image: Any, mask: Any) -> bool:
    import numpy as np

    try:
        result = step(image, mask, Chance(np.random.default_rng(0), random.Random(0))).image
        return bool(result.shape[2] == image.shape[2])
    except Exception:  # a trial: what fails on both images is reported when it is applied
        return False


def _size(image: Any) -> str:
    return f"{'×'.join(map(str, image.shape))} {image.dtype}"
