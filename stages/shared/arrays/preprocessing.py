"""From the bytes of an image file to the array a model is fed: one recipe for the preprocess stage and for
serving."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, overload

from pydantic import BeforeValidator, Field

from ..core.settings import Settings

if TYPE_CHECKING:
    import numpy as np

SMALLEST, LARGEST = 8, 4096  # px


def _check_size(value: Any) -> Any:
    sides = list(value) if isinstance(value, list | tuple) else [value]
    whole = all(isinstance(s, int) and not isinstance(s, bool) for s in sides)
    single = not isinstance(value, list | tuple)
    if not whole or (not single and len(sides) != 2) or not all(SMALLEST <= s <= LARGEST for s in sides):
        raise ValueError(
            f"{value!r} is no size. Valid: pixels for a square, or [height, width]; each from {SMALLEST} to {LARGEST}."
        )
    return value if single else tuple(sides)


def _check_steps(value: Any) -> Any:
    for i, step in enumerate(value if isinstance(value, list | tuple) else [value]):
        named = isinstance(step, dict) and len(step) == 1 and isinstance(next(iter(step.values())), dict | None)
        if not isinstance(value, list | tuple) or not (isinstance(step, str) or named):
            raise ValueError(
                f"step {i}, {step!r}, is no step. Valid: a list of `- Name` or `- Name: {{argument: value}}`, e.g. "
                "`- CLAHE: {clip_limit: [2.0, 2.0], tile_grid_size: [8, 8]}`."
            )
    return value


Size = Annotated[int | tuple[int, int], BeforeValidator(_check_size)]
Steps = Annotated[list[str | dict[str, dict[str, Any] | None]], BeforeValidator(_check_steps)]


class PreprocessSpec(Settings):
    """What is done to every image, always and alike. Travels with the model in its recipe.json."""

    mode: Literal["grey", "rgb"] = "grey"
    """Channels of the arrays: grey (1) for films, MRI and CT; rgb (3) where colour says something (skin,
    stains)."""
    size: Size = 224
    """Pixels after resizing: one number for a square, or [height, width]."""
    steps: Steps = Field(default=[{"CLAHE": {"clip_limit": [2.0, 2.0], "tile_grid_size": [8, 8]}}])
    """albumentations transforms by name with their arguments, applied in this order to the image in its own
    size. CLAHE 2.0 on 8×8 tiles is usual for films; [] for none."""
    keep_aspect: bool = False
    """false: squeeze the image to `size`, as nearly all published comparisons do. true: keep its proportions
    and pad with black; anatomy keeps its shape, but the bars tell the model the proportions of the file, and
    in several public sets these differ by class."""

    @property
    def height_width(self) -> tuple[int, int]:
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def channels(self) -> int:
        return 1 if self.mode == "grey" else 3


class Preprocessor:
    """bytes -> uint8 H×W×C. Same bytes, same pixels: in any order, thread or process. Can be pickled.

    `where` names the place of the spec in messages, e.g. "params.yaml: preprocess".

    Raises:
        UserError: when made: a step or an argument that does not exist; when called: UnreadableImage.
    """

    def __init__(self, spec: PreprocessSpec, where: str = "params.yaml: preprocess") -> None:
        from .transforms import build

        self.spec = spec
        self._steps = build(spec.steps, f"{where}.steps", channels=spec.channels, deterministic=True)

    def __call__(self, data: bytes, name: str) -> np.ndarray:
        """uint8 H×W×C."""
        return self._finish(self.original(data, name), None)[0]

    def with_mask(self, data: bytes, name: str, mask: bytes, mask_name: str) -> tuple[np.ndarray, np.ndarray]:
        """uint8 H×W×C and the mask, uint8 H×W, 0 or 255. A mask of another size than its image is brought to
        it."""
        from ..images.decode import decode, to_array

        image = self.original(data, name)
        outline = to_array(decode(mask, mask_name), "grey")[..., 0]
        return self._finish(image, resize(outline, image.shape[:2], mask=True))

    def original(self, data: bytes, name: str) -> np.ndarray:
        """The image as decoded, before any step: uint8, its own height and width, C as in the spec."""
        from ..images.decode import decode, to_array

        return to_array(decode(data, name), self.spec.mode)

    @overload
    def _finish(self, image: np.ndarray, mask: None) -> tuple[np.ndarray, None]: ...
    @overload
    def _finish(self, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...
    def _finish(self, image: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        if len(self._steps):
            done = self._steps(image, mask, seed=_seed(image))
            image, mask = (done, None) if mask is None else done
        size, keep = self.spec.height_width, self.spec.keep_aspect
        image = resize(image, size, keep_aspect=keep)
        if mask is None:
            return image, None
        mask = resize(mask, size, keep_aspect=keep, mask=True)
        return image, ((mask > 127) * 255).astype(mask.dtype)  # JPEG leaves grey fringes around lungs


def resize(image: np.ndarray, size: tuple[int, int], *, keep_aspect: bool = False, mask: bool = False) -> np.ndarray:
    """H×W or H×W×C -> `size` (height, width). Area averaging to shrink, linear to enlarge, nearest for masks.

    `keep_aspect`: fit inside `size`, centred on black.
    """
    import cv2
    import numpy as np

    height, width = size
    old_height, old_width = image.shape[:2]
    if keep_aspect:
        scale = min(height / old_height, width / old_width)
        inner = (max(1, round(old_height * scale)), max(1, round(old_width * scale)))
        canvas = np.zeros((height, width, *image.shape[2:]), image.dtype)
        top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
        canvas[top : top + inner[0], left : left + inner[1]] = resize(image, inner, mask=mask)
        return canvas
    if (old_height, old_width) == size:
        return image
    shrinks = height * width < old_height * old_width
    how = cv2.INTER_NEAREST_EXACT if mask else cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=how).reshape(height, width, *image.shape[2:])


def _seed(image: np.ndarray) -> int:
    """From the pixels, so that a step with something random in it treats the same image the same way
    everywhere."""
    import hashlib

    return int.from_bytes(hashlib.blake2b(image.tobytes(), digest_size=6).digest())
