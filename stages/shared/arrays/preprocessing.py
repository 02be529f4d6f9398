"""From the bytes of an image file to the array that a model reads: one recipe for the preprocess stage and serving."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from ..core.errors import UserError
from ..core.settings import Settings

if TYPE_CHECKING:
    import numpy as np

    from .content import CropToMask

Interpolation: TypeAlias = Literal["area", "linear", "cubic", "lanczos"]
SMALLEST, LARGEST = 8, 4096  # px
WHITE = 127  # above: inside, in a mask that comes with a request
ORIGINAL, RESIZED, MODEL = "original", "resized", "model"  # views that no step made


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
    """albumentations transforms and steps of our own (Threshold, CropLargestContour, CropToMask) by name with their
    arguments, applied in this order. CLAHE 2.0 on 8×8 tiles is usual for films; [] for none."""
    steps_on: Literal["resized", "original"] = "original"
    """What the steps work on: the image in `size`, or as it is in its file. Recipes from before there was a choice lack
    it, and mean original."""
    interpolation: Interpolation = "area"
    """How an image is resized. area: means of the pixels that become one, and linear where it is enlarged; fine detail
    turns into no false pattern. linear, cubic, lanczos: OpenCV's, from the nearest 4, 16 or 64 pixels, also where it is
    shrunk; what published code often does. Masks are never blended. Recipes from before there was a choice lack it, and
    mean area."""
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


@dataclass(frozen=True)
class View:
    """An image on its way to the model. `name`: of the step that it comes from. image: uint8 h×w×C. mask: class
    numbers, uint8 h×w. `note`: why that step left it as it was."""

    name: str
    image: np.ndarray
    mask: np.ndarray | None = None
    note: str = ""


@dataclass(frozen=True)
class Prepared:
    """image: uint8 H×W×C. mask: uint8 H×W where the image has one. notes: (step, why it left the image as it was)."""

    image: np.ndarray
    mask: np.ndarray | None
    notes: tuple[tuple[str, str], ...]


class Preprocessor:
    """bytes -> uint8 H×W×C. Same bytes, same pixels: in any order, thread or process. Can be pickled.

    `where` names the place of the spec in messages, e.g. "params.yaml: preprocess".

    Raises:
        UserError: when made: a step or an argument that does not exist, a crop that comes too late; when called:
            UnreadableImage, no mask where a step needs one.
    """

    def __init__(self, spec: PreprocessSpec, where: str = "params.yaml: preprocess") -> None:
        from .catalogue import name_of
        from .transforms import Transform

        place = f"{where}.steps" if where else "steps"
        self.spec = spec
        self._steps = Transform(spec.steps, place, channels=spec.channels, deterministic=True)
        self._names = [name_of(step) for step in spec.steps]
        crops = [function.crops for function in self._steps.functions]
        self._first = crops.index(False) if False in crops else len(crops)  # of the steps that are no crop
        late = [i for i, crop in enumerate(crops) if crop and i > self._first]
        if late and spec.steps_on == "resized":
            raise UserError(
                f"{place}[{late[0]}]: {self._names[late[0]]} comes after {self._names[self._first]}, so it would cut "
                "pieces out of an image that is small already. Put crops first: they see the image of the file. Or set "
                "steps_on: original, for all steps."
            )

    def __call__(self, data: bytes, name: str, mask: bytes | None = None) -> np.ndarray:
        """uint8 H×W×C. `mask`: an image file that is white where the structures are; only `CropToMask` looks at it."""
        import numpy as np

        from ..images.mask import grey_levels, inside

        image, numbers = self.original(data, name), None
        if mask is not None:
            structures = inside(grey_levels(mask, f"mask of {name}"), invert=False, threshold=WHITE).astype(np.uint8)
            numbers = resize(structures, image.shape[:2], mask=True)
        return self.prepare(image, numbers, name).image

    def prepare(self, image: np.ndarray, mask: np.ndarray | None = None, name: str = "") -> Prepared:
        """`image`: original, h×w×C. `mask`: its class numbers, uint8 h×w, where there are any. `name`: in messages."""
        notes = []
        try:
            for view in self.views(image, mask):
                if view.note:
                    notes.append((view.name, view.note))
        except UserError as error:
            raise UserError(f"{name}: {error}" if name else str(error)) from error
        return Prepared(view.image, view.mask, tuple(notes))

    def views(self, image: np.ndarray, mask: np.ndarray | None = None) -> Iterator[View]:
        """The image as it comes, as each step leaves it, and last as the model sees it."""
        size, keep, seed = self.spec.height_width, self.spec.keep_aspect, partial(_seed, image)
        yield View(ORIGINAL, image, mask)
        for i, name in enumerate(self._names):
            if i == self._first and self.spec.steps_on == "resized":
                image, mask = self._resized(image, mask, fit(image.shape[:2], size) if keep else size)
                yield View(RESIZED, image, mask)
            image, mask, note = self._steps.apply(i, image, mask, seed)
            yield View(name, image, mask, note)
        yield View(MODEL, *self._resized(image, mask, size, keep_aspect=keep))

    def _resized(
        self, image: np.ndarray, mask: np.ndarray | None, size: tuple[int, int], keep_aspect: bool = False
    ) -> tuple[np.ndarray, np.ndarray | None]:
        image = resize(image, size, keep_aspect=keep_aspect, interpolation=self.spec.interpolation)
        return image, None if mask is None else resize(mask, size, keep_aspect=keep_aspect, mask=True)

    @property
    def moves_pixels(self) -> bool:
        """Whether a step may do more than change grey levels: what lies on its result then cannot be mapped back."""
        return any(function.moves_pixels for function in self._steps.functions)

    @property
    def crops(self) -> list[str]:
        """Names of the steps that cut an image to what they find in it."""
        pairs = zip(self._names, self._steps.functions, strict=True)
        return [name for name, function in pairs if function.crops]

    @property
    def crop_to_mask(self) -> CropToMask | None:
        """The first step that looks at the mask, if there is one."""
        from .content import CropToMask

        return next((step for step in self._steps.functions if isinstance(step, CropToMask)), None)

    def original(self, data: bytes, name: str) -> np.ndarray:
        """The image as decoded, before any step: uint8, its own height and width, C as in the spec."""
        from ..images.decode import decode, to_array

        return to_array(decode(data, name), self.spec.mode)


def fit(shape: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """The largest height and width inside `size` with the proportions of `shape`."""
    scale = min(size[0] / shape[0], size[1] / shape[1])
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def resize(
    image: np.ndarray,
    size: tuple[int, int],
    *,
    keep_aspect: bool = False,
    mask: bool = False,
    interpolation: Interpolation = "area",
) -> np.ndarray:
    """H×W or H×W×C -> `size` (height, width). `mask`: nearest pixels, whatever the interpolation.

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
        canvas[top : top + inner[0], left : left + inner[1]] = resize(
            image, inner, mask=mask, interpolation=interpolation
        )
        return canvas
    if (old_height, old_width) == size:
        return image
    shrinks = height * width < old_height * old_width
    how = {
        "area": cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
        "linear": cv2.INTER_LINEAR,
        "cubic": cv2.INTER_CUBIC,
        "lanczos": cv2.INTER_LANCZOS4,
    }[interpolation]
    how = cv2.INTER_NEAREST_EXACT if mask else how
    resized = cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=how)  # a crop is a view
    return resized.reshape(height, width, *image.shape[2:])


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
