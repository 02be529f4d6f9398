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
        return self.prepare(self.original(data, name))[0]

    def prepare(self, image: np.ndarray, mask: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray | None]:
        """An original image, h×w×C, and its mask of class numbers, uint8 h×w, where there is one -> uint8 H×W×C and
        H×W."""
        size, keep = self.spec.height_width, self.spec.keep_aspect
        seed = _seed(image)
        inner = fit(image.shape[:2], size) if keep else size
        start = inner if self.spec.steps_on == "resized" else image.shape[:2]
        image = resize(image, start)
        if mask is None:
            return resize(self._steps(image, seed=seed), size, keep_aspect=keep), None
        image, mask = self._steps(image, resize(mask, start, mask=True), seed=seed)
        return resize(image, size, keep_aspect=keep), resize(mask, size, keep_aspect=keep, mask=True)

    @property
    def moves_pixels(self) -> bool:
        """Whether a step may do more than change grey levels: what lies on its result then cannot be mapped back."""
        return self._steps.moves_pixels

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


def restore(values: np.ndarray, original: tuple[int, int], spec: PreprocessSpec) -> np.ndarray:
    """H×W numbers on a preprocessed image, such as probabilities -> h×w = `original`, on the image of its file.

    The padding of `keep_aspect` is cut off, and the rest resized as images are. Where steps moved pixels, that is not
    undone (`Preprocessor.moves_pixels`).
    """
    if spec.keep_aspect:
        height, width = values.shape[:2]
        inner = fit(original, (height, width))
        top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
        values = values[top : top + inner[0], left : left + inner[1]]
    return resize(values, original)


def _seed(image: np.ndarray) -> int:
    """From the pixels, so that a random step treats the same image the same way everywhere."""
    import hashlib

    return int.from_bytes(hashlib.blake2b(image.tobytes(), digest_size=6).digest())
