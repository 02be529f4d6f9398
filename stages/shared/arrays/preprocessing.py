"""From the bytes of an image file to the array that a model reads: one recipe for the preprocess stage and serving."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ..core.settings import Settings

if TYPE_CHECKING:
    import numpy as np

SMALLEST, LARGEST = 8, 4096  # px


def _check_size(value: Any) -> Any:
    sides = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(sides) != 2 or not all(isinstance(side, int) and SMALLEST <= side <= LARGEST for side in sides):
        raise ValueError(
            f"{value!r} is not a size. Valid: pixels for a square, or [height, width]; each from {SMALLEST} to "
            f"{LARGEST}."
        )
    return sides if isinstance(value, list | tuple) else value


Size = Annotated[int | tuple[int, int], BeforeValidator(_check_size)]


class PreprocessSpec(Settings):
    """What is done to every image, always and alike. Travels with the model in its recipe.json."""

    mode: Literal["grey", "rgb"] = "grey"
    """Channels of the arrays: grey (1) for films, MRI and CT; rgb (3) where colour says something (skin, stains)."""
    size: Size = 224
    """Pixels after resizing: one number for a square, or [height, width]."""
    steps: list[Any] = Field(default=[{"CLAHE": {"clip_limit": [2.0, 2.0], "tile_grid_size": [8, 8]}}])
    """albumentations transforms by name with their arguments, applied in this order. CLAHE 2.0 on 8×8 tiles is usual
    for films; [] for none."""
    steps_on: Literal["resized", "original"] = "original"
    """What the steps work on: the image in `size`, or as it is in its file. Recipes from before there was a choice lack
    it, and mean original."""
    keep_aspect: bool = False
    """false: squeeze the image to `size`, as nearly all published comparisons do. true: keep its proportions and pad
    with black; anatomy keeps its shape, but the bars tell the model the proportions of the file, and in several public
    sets these differ by class."""

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
        from .transforms import Transform

        self.spec = spec
        self._steps = Transform(spec.steps, f"{where}.steps", channels=spec.channels, deterministic=True)

    def __call__(self, data: bytes, name: str) -> np.ndarray:
        """uint8 H×W×C."""
        return self.with_mask(data, name)[0]

    def with_mask(
        self, data: bytes, name: str, mask: bytes | None = None, mask_name: str = ""
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """uint8 H×W×C, and its mask, uint8 H×W, 0 or 255, where one is given. A mask of another size than its image is
        resized to it first."""
        from ..images.decode import decode, to_array

        image, size, keep = self.original(data, name), self.spec.height_width, self.spec.keep_aspect
        seed = _seed(image)
        inner = fit(image.shape[:2], size) if keep else size
        start = inner if self.spec.steps_on == "resized" else image.shape[:2]
        outline = None
        if mask is not None:
            outline = resize(to_array(decode(mask, mask_name), "grey")[..., 0], image.shape[:2], mask=True)
            outline = resize(outline, start, mask=True)
        image = resize(image, start)
        if outline is None:
            return resize(self._steps(image, seed=seed), size, keep_aspect=keep), None
        image, outline = self._steps(image, outline, seed=seed)
        outline = resize(outline, size, keep_aspect=keep, mask=True)
        outline = ((outline > 127) * 255).astype(outline.dtype)  # JPEG leaves grey fringes around lungs
        return resize(image, size, keep_aspect=keep), outline

    def original(self, data: bytes, name: str) -> np.ndarray:
        """The image as decoded, before any step: uint8, its own height and width, C as in the spec."""
        from ..images.decode import decode, to_array

        return to_array(decode(data, name), self.spec.mode)


def fit(shape: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """The largest height and width inside `size` with the proportions of `shape`."""
    scale = min(size[0] / shape[0], size[1] / shape[1])
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def resize(image: np.ndarray, size: tuple[int, int], *, keep_aspect: bool = False, mask: bool = False) -> np.ndarray:
    """H×W or H×W×C -> `size` (height, width). Area averaging to shrink, linear to enlarge, nearest for masks.

    `keep_aspect`: fit inside `size`, centred on black.
    """
    import cv2
    import numpy as np

    height, width = size
    old_height, old_width = image.shape[:2]
    if keep_aspect:
        inner = fit((old_height, old_width), size)
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
    """From the pixels, so that a random step treats the same image the same way everywhere."""
    import hashlib

    return int.from_bytes(hashlib.blake2b(image.tobytes(), digest_size=6).digest())
