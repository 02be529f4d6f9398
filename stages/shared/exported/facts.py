"""What is measured of an image as it comes, before any preprocessing: the same numbers as validate's."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image


def facts_of(image: np.ndarray) -> dict[str, float]:
    """uint8 h×w×C -> what training.FACTS names: mean and standard deviation of the grey levels, variance of the
    Laplacian, width and height in pixels."""
    grey = (
        np.ascontiguousarray(image[..., 0]) if image.shape[2] == 1 else np.asarray(Image.fromarray(image).convert("L"))
    )
    brightness, contrast = (float(value[0, 0]) for value in cv2.meanStdDev(grey))
    edges = float(cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_32F))[1][0, 0])
    height, width = grey.shape
    return {"brightness": brightness, "contrast": contrast, "sharpness": edges**2, "width": width, "height": height}
