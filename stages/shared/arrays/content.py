"""Steps of our own: what they do depends on what the image shows.

Legend: images are uint8 H×W×C, C is 1 (grey) or 3 (RGB); masks uint8 H×W, 0 for background.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, TypeAlias

from pydantic import Field, field_validator

from ..core.errors import UserError
from ..core.settings import Settings

if TYPE_CHECKING:
    import numpy as np

NO_CONTOUR, SMALL_CONTOUR, WHOLE_IMAGE, NO_MASK = "no contour", "contour too small", "whole image", "no mask"
Box: TypeAlias = tuple[int, int, int, int]  # top, bottom, left, right; the second of each pair is the first outside


class Outcome(NamedTuple):
    """What a step made of an image and its mask. `note`: why it left them as they were; empty: it did not."""

    image: np.ndarray
    mask: np.ndarray | None
    note: str = ""


class Threshold(Settings):
    """Black wherever an image is dark: skin, tissue and bone stay, the background goes."""

    crops: ClassVar[bool] = False
    moves_pixels: ClassVar[bool] = False
    draws: ClassVar[bool] = False

    level: int = Field(ge=0, le=254)
    """Foreground is what is brighter. Of RGB images their grey counts."""
    erode: int = Field(default=0, ge=0, le=100)
    """So many times the foreground loses its outermost pixels: specks go."""
    dilate: int = Field(default=0, ge=0, le=100)
    """Then it grows by so many pixels."""
    foreground: Literal["kept", "white"] = "kept"
    """kept: as bright as it was. white: 255, so that the outline is all that is left."""

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, *_: object) -> Outcome:
        import numpy as np

        inside = _foreground(image, self.level, self.erode, self.dilate)[..., None] > 0
        bright = image if self.foreground == "kept" else np.full_like(image, 255)
        return Outcome(np.where(inside, bright, np.uint8(0)), mask)


class CropLargestContour(Settings):
    """Cut to the largest bright thing in the image, e.g. the head in a slice: blur, threshold, erode, dilate, take the
    contour with the largest area, cut at its extreme points. An image in which that fails stays whole and is counted.
    """

    crops: ClassVar[bool] = True
    moves_pixels: ClassVar[bool] = True
    draws: ClassVar[bool] = False

    blur: int = Field(default=5, ge=0, le=101)
    """Side of the Gaussian kernel, odd; 0: none."""
    threshold: int = Field(default=45, ge=0, le=254)
    """Foreground is what is brighter after the blur."""
    erode: int = Field(default=2, ge=0, le=100)
    dilate: int = Field(default=2, ge=0, le=100)
    margin: float = Field(default=0.0, ge=0, le=1)
    """Added on each side, relative to the height and width of the box."""
    smallest: float = Field(default=0.05, ge=0, le=1)
    """Share of the image that the box has to cover. Below, the contour is a speck and not what was meant."""

    @field_validator("blur")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value and value % 2 == 0:
            raise ValueError("must be odd, or 0 for none")
        return value

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, *_: object) -> Outcome:
        import cv2

        foreground = _foreground(image, self.threshold, self.erode, self.dilate, self.blur)
        contours = cv2.findContours(foreground, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
        if not contours:
            return Outcome(image, mask, NO_CONTOUR)
        left, top, width, height = cv2.boundingRect(max(contours, key=cv2.contourArea))
        if width * height < self.smallest * foreground.size:
            return Outcome(image, mask, SMALL_CONTOUR)
        return _cut(image, mask, _wider((top, top + height, left, left + width), self.margin, foreground.shape))


class CropToMask(Settings):
    """Cut to the box around all structures of the image's mask. The model then needs a mask of every image that it is
    asked about, too."""

    crops: ClassVar[bool] = True
    moves_pixels: ClassVar[bool] = True
    draws: ClassVar[bool] = False

    margin: float = Field(default=0.05, ge=0, le=1)
    """Added on each side, relative to the height and width of the box."""
    without_mask: Literal["refuse", "whole"] = "refuse"
    """What happens to an image without a mask, or with an empty one, here and where the model is served. refuse: an
    error that names it. whole: it stays whole and is counted; if one class has fewer masks than another, the model can
    then tell them apart by the crop alone."""

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, *_: object) -> Outcome:
        import cv2

        if mask is None or not mask.any():
            if self.without_mask == "refuse":
                raise UserError(
                    f"the image has {'no mask' if mask is None else 'an empty mask'}, and the crop needs one. Give it "
                    "a mask, leave the image out, or set without_mask: whole."
                )
            return Outcome(image, mask, NO_MASK)
        left, top, width, height = cv2.boundingRect(mask)  # of all that is not zero
        return _cut(image, mask, _wider((top, top + height, left, left + width), self.margin, mask.shape))


OWN: dict[str, type[Threshold | CropLargestContour | CropToMask]] = {
    kind.__name__: kind for kind in (Threshold, CropLargestContour, CropToMask)
}


def _foreground(image: np.ndarray, level: int, erode: int, dilate: int, blur: int = 0) -> np.ndarray:
    """uint8 H×W: 255 where the image is brighter than `level`, after that many rounds with a 3×3 element."""
    import cv2
    import numpy as np

    grey = image[..., 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    grey = np.ascontiguousarray(grey)
    if blur:
        grey = cv2.GaussianBlur(grey, (blur, blur), 0)
    foreground = cv2.threshold(grey, level, 255, cv2.THRESH_BINARY)[1]
    element = np.ones((3, 3), np.uint8)
    return cv2.dilate(cv2.erode(foreground, element, iterations=erode), element, iterations=dilate)


def _wider(box: Box, margin: float, shape: tuple[int, ...]) -> Box:
    """Inside an image of that height and width."""
    top, bottom, left, right = box
    y, x = round(margin * (bottom - top)), round(margin * (right - left))
    return max(0, top - y), min(shape[0], bottom + y), max(0, left - x), min(shape[1], right + x)


def _cut(image: np.ndarray, mask: np.ndarray | None, box: Box) -> Outcome:
    top, bottom, left, right = box
    if (bottom - top, right - left) == image.shape[:2]:
        return Outcome(image, mask, WHOLE_IMAGE)
    return Outcome(image[top:bottom, left:right], None if mask is None else mask[top:bottom, left:right])
