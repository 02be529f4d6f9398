"""A scene -> an 8-bit film and its masks: scatter, quantum noise, grain, exposure, gamma, collimation."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from ..params import Phantom
from .anatomy import Anatomy, View, draw_anatomy, draw_view
from .cohort import Scene
from .findings import FINDINGS, Textures, adapt, draw_lesion, draw_textures
from .render import Field, render, sample, step

LOSS = 3.2  # nepers through the middle of an average chest


def draw(scene: Scene, settings: Phantom) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One film with its masks: image, lung mask (0/255), lesion mask (0/255); uint8, size×size.

    Every stream of random numbers belongs to one patient, finding or film, so a film does not depend on the others.
    """
    anatomy, textures = patient_of(settings.seed, scene.patient, settings.size)
    kind = list(FINDINGS).index(scene.finding)
    lesion = draw_lesion(np.random.default_rng([settings.seed, scene.patient, 2, kind]), scene.finding)
    rng = np.random.default_rng([settings.seed, scene.patient, 3, scene.number])
    view = draw_view(rng)
    severity = float(np.clip(lesion.severity + rng.normal(0, 0.08), 0, 1))  # a little better or worse on another day
    faintest, plainest = settings.opacity
    opacity = faintest + (plainest - faintest) * severity
    anatomy = adapt(anatomy, view, lesion, opacity)
    chest = render(anatomy, view, settings.size)
    shadow, outline = FINDINGS[lesion.finding](chest, anatomy, lesion, textures, opacity)
    vessels = sample(textures.vessels, chest.x, chest.y)
    uneven = 0.10 * (sample(textures.clouds, chest.x, -chest.y) - 0.5)
    air = chest.depth * np.clip(1 - shadow, 0, 1) * (1 + uneven) * (1 - 0.24 * anatomy.vessels * vessels)
    attenuation = chest.body * (1 - 0.70 * air) + chest.bone
    image = develop(attenuation.astype(np.float32), view, rng)
    # a pleural effusion or a lobe without air is still lung: the mask follows the anatomy, not the grey value
    return image, (chest.lung > 0.5) * np.uint8(255), outline * np.uint8(255)


@lru_cache(maxsize=4)
def patient_of(seed: int, patient: int, size: int) -> tuple[Anatomy, Textures]:
    rng = np.random.default_rng([seed, patient, 1])
    anatomy = draw_anatomy(rng)
    return anatomy, draw_textures(rng, anatomy, size)


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
