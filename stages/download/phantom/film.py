"""Attenuation to an 8-bit film: scatter, quantum noise, grain, exposure, gamma, collimation."""

from __future__ import annotations

import cv2
import numpy as np

from .anatomy import Anatomy, View
from .findings import FINDINGS, Lesion, Textures, adapt
from .render import Field, render, sample, step

LOSS = 3.2  # nepers through the middle of an average chest


def expose(
    anatomy: Anatomy,
    view: View,
    lesion: Lesion,
    textures: Textures,
    size: int,
    opacity: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One film with its masks: image, lung mask (0/255), lesion mask (0/255); uint8, size×size."""
    share = opacity[0] + (opacity[1] - opacity[0]) * lesion.severity
    anatomy = adapt(anatomy, view, lesion, share)
    chest = render(anatomy, view, size)
    shadow, outline = FINDINGS[lesion.finding](chest, anatomy, lesion, textures, share)
    vessels = sample(textures.vessels, chest.x, chest.y)
    uneven = 0.10 * (sample(textures.clouds, chest.x, -chest.y) - 0.5)
    air = chest.depth * np.clip(1 - shadow, 0, 1) * (1 + uneven) * (1 - 0.24 * anatomy.vessels * vessels)
    attenuation = chest.body * (1 - 0.70 * air) + chest.bone
    image = develop(attenuation.astype(np.float32), view, rng)
    # a pleural effusion or a lobe without air is still lung: the mask follows the anatomy, not the grey value
    return image, (chest.lung > 0.5) * np.uint8(255), outline * np.uint8(255)


def develop(attenuation: Field, view: View, rng: np.random.Generator) -> np.ndarray:
    """uint8, H×W; dense is bright, as on a viewing box."""
    size = attenuation.shape[0]
    ray = np.exp(-LOSS * cv2.GaussianBlur(attenuation, (0, 0), view.blur * size / 128))
    scatter = cv2.GaussianBlur(ray, (0, 0), 0.06 * size)
    photons = view.photons * (0.8 * ray + 0.2 * scatter)
    # Poisson counts of this size are normal to within a grey level, and ten times as fast to draw
    counts = photons + np.sqrt(photons) * rng.standard_normal(ray.shape, dtype=np.float32)
    density = -np.log(np.maximum(counts, 1) / view.photons) / LOSS
    grain = cv2.GaussianBlur(rng.standard_normal(ray.shape, dtype=np.float32), (0, 0), 0.8)
    dose = (np.maximum(density, 0) + view.grain * grain) * view.contrast + view.exposure * density
    value = 1 - np.exp(-1.3 * np.maximum(dose, 0) ** 1.5)  # the shoulder of a film: dense parts keep their detail
    value = value**view.gamma
    if any(view.frame):  # collimation: nearly black beyond the straight edges of the field of radiation
        axis = (np.arange(size, dtype=np.float32) + 0.5) / size
        left, top, right, bottom = view.frame
        across = step(axis - left, 0.004) * step(1 - right - axis, 0.004)
        down = step(axis - top, 0.004) * step(1 - bottom - axis, 0.004)
        value = value * (np.float32(0.04) + np.float32(0.96) * down[:, None] * across[None])
    return np.asarray(np.clip(np.rint(value * 255), 0, 255), np.uint8)
