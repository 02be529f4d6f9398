"""What disease adds: for each finding, how much of a lung's air it replaces, and where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from .anatomy import Anatomy, View
from .render import CANVAS, Chest, Field, sample, step


@dataclass(frozen=True)
class Textures:
    """Drawn once per patient, in patient coordinates; each a float32 canvas with values near 0..1."""

    vessels: Field
    bronchi: Field
    clouds: Field  # slow variations
    mesh: Field  # fine lines, as thickened septa make them


@dataclass(frozen=True)
class Lesion:
    """Where a patient's disease sits; the same on all of the patient's films."""

    finding: str
    severity: float  # 0..1 within the set's range of opacity
    side: int  # -1: patient's right lung
    numbers: tuple[float, ...]  # eight uniform draws, read by each finding in its own way


def draw_lesion(rng: np.random.Generator, finding: str) -> Lesion:
    side = -1 if rng.random() < 0.55 else 1
    return Lesion(finding, float(rng.random()), side, tuple(float(v) for v in rng.random(8)))


def draw_textures(rng: np.random.Generator, anatomy: Anatomy, size: int) -> Textures:
    pixels = round(size * CANVAS)
    mesh = _noise(rng, pixels, 0.016) - _noise(rng, pixels, 0.040)
    mesh = np.clip(1 - 1.1 * np.abs(mesh), 0, 1).astype(np.float32)
    vessels = _tree(rng, anatomy, pixels, twigs=9, width=1.8)
    bronchi = _tree(rng, anatomy, pixels, twigs=7, width=2.8)
    clouds = _noise(rng, pixels, 0.20) + 0.7 * _noise(rng, pixels, 0.09)
    return Textures(vessels, bronchi, step(clouds / (clouds.std() + 1e-6), 0.7), mesh)


def _noise(rng: np.random.Generator, pixels: int, scale: float) -> Field:
    """Smooth noise with unit variance; `scale` is the blur in half-widths of the film."""
    sigma = scale * pixels / (2 * CANVAS)
    shrink = max(1, int(sigma / 2))
    small = max(8, -(-pixels // shrink))
    field = cv2.GaussianBlur(rng.standard_normal((small, small), dtype=np.float32), (0, 0), sigma / shrink)
    field = cv2.resize(field, (pixels, pixels), interpolation=cv2.INTER_CUBIC)
    return (field - field.mean()) / (field.std() + 1e-6)


def _tree(rng: np.random.Generator, a: Anatomy, pixels: int, twigs: int, width: float) -> Field:
    """Branches that fan out from both hila and fork three times, thinner each time. Drawn at twice the size, for
    smooth lines."""
    canvas = np.zeros((2 * pixels, 2 * pixels), np.uint8)
    scale, unit = pixels / CANVAS, width * pixels / (128 * CANVAS)
    side = np.repeat([-1.0, 1.0], twigs)
    start = np.stack([side * (a.gap + 0.05), np.full(2 * twigs, a.apex + 0.66)], axis=1)
    angle = np.tile(np.linspace(-1.25, 1.35, twigs), 2) + rng.normal(0, 0.10, 2 * twigs)
    for level in range(4):
        turns = angle[:, None] + np.cumsum(rng.normal(0, 0.13, (len(side), 5)), axis=1)
        stride = rng.uniform(0.04, 0.06, (len(side), 1)) * 0.78**level
        hops = np.stack([side[:, None] * np.cos(turns), np.sin(turns)], axis=2) * stride[:, :, None]
        points = np.concatenate([start[:, None], start[:, None] + np.cumsum(hops, axis=1)], axis=1)  # (branches, 6, 2)
        thick = 0.66**level
        lines = list(np.rint((points + CANVAS) * scale * 16).astype(np.int32))
        shade, pen = int(255 * (0.35 + 0.65 * thick)), max(1, round(2 * unit * thick))
        cv2.polylines(canvas, lines, False, shade, pen, cv2.LINE_AA, shift=4)
        fork = rng.uniform(0.2, 0.5, len(side))
        angle = np.concatenate([turns[:, -1] + fork, turns[:, -1] - fork])
        start, side = np.tile(points[:, -1], (2, 1)), np.tile(side, 2)
    small = cv2.resize(canvas, (pixels, pixels), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return cv2.GaussianBlur(small, (0, 0), 0.6 * pixels / (128 * CANVAS))


Shadow = tuple[Field, Field]  # share of air replaced (0..1), and the lesion's outline (bool)


def _consolidation(chest: Chest, a: Anatomy, lesion: Lesion, tex: Textures, opacity: float) -> Shadow:
    """One lobe fills up: dense, soft towards the healthy lung, straight where a fissure bounds it, and with the
    still airy bronchi drawn dark in it."""
    n = lesion.numbers
    height = a.base - a.apex
    zone = int(n[0] * 3)  # upper, middle, lower
    cy = a.apex + height * ((0.24, 0.52, 0.72)[zone] + 0.10 * (n[1] - 0.5))
    cx = lesion.side * a.width * (0.40 + 0.28 * n[2])
    rx, ry = 0.20 + 0.14 * n[3], 0.18 + 0.14 * n[4]
    x, y = chest.x - cx, chest.y - cy
    ragged = 0.45 * (sample(tex.clouds, chest.x, chest.y) - 0.5)
    r = np.sqrt((x / rx) ** 2 + (y / ry) ** 2) + ragged
    fissure = cy + (0.62 if zone == 0 else -0.62) * ry + 0.3 * (n[5] - 0.5) * x
    beyond = (fissure - chest.y) if zone == 0 else (chest.y - fissure)
    cover = step(1 - r, 0.10 + 0.08 * n[6]) * step(beyond, 0.012 + 0.02 * n[7])
    cover = cover * (chest.x * lesion.side > 0) * chest.lung
    airways = sample(tex.bronchi, chest.x, chest.y)
    patchy = 0.72 + 0.45 * sample(tex.clouds, -chest.x, chest.y)
    return 1.25 * opacity * cover * patchy * (1 - 0.55 * airways), cover > 0.5


def _haze(chest: Chest, a: Anatomy, lesion: Lesion, tex: Textures, opacity: float) -> Shadow:
    """Both lungs lose some air, unevenly: a veil (ground glass) under a net of fine lines (reticulation)."""
    n = lesion.numbers
    t = (chest.y - a.apex) / (a.base - a.apex)
    basal = 1 + (0.8 * n[0] - 0.3) * 2 * (t - 0.5)
    central = 1 + (1.2 * n[1] - 0.6) * (0.5 - np.abs(chest.x) / a.width)
    lopsided = 1 + 0.35 * (n[2] - 0.5) * np.sign(chest.x)
    spread = np.clip((0.35 + 0.9 * sample(tex.clouds, chest.x, chest.y)) * basal * central * lopsided, 0, 1.3)
    lines = sample(tex.mesh, chest.x, chest.y)
    share = 0.35 + 0.4 * n[3]
    texture = share * 1.25 * lines + (1 - share) * 0.85
    return 0.50 * opacity * spread * texture * chest.lung, (spread > 0.5) & (chest.lung > 0.5)


def _effusion(chest: Chest, a: Anatomy, lesion: Lesion, tex: Textures, opacity: float) -> Shadow:
    """Fluid at the base of one lung: the costophrenic angle is blunted, the level climbs the chest wall."""
    n = lesion.numbers
    out = np.clip((lesion.side * chest.x) / a.width, 0, 1.1)
    level = a.base - 0.05 - (0.08 + 0.45 * opacity) * (0.5 + 0.5 * n[0]) - (0.10 + 0.14 * n[1]) * (out**3 - 0.35)
    fluid = step(chest.y - level, 0.02 + 0.02 * n[2]) * (lesion.side * chest.x > 0) * chest.lung
    return 0.95 * fluid, fluid > 0.5


def _nodule(chest: Chest, a: Anatomy, lesion: Lesion, tex: Textures, opacity: float) -> Shadow:
    """One to four round shadows in either lung."""
    n = lesion.numbers
    cover = np.zeros_like(chest.x)
    for i in range(1 + int(n[7] * 4)):
        side = lesion.side if i % 2 == 0 else -lesion.side
        cx = side * a.width * (0.35 + 0.42 * n[i])
        cy = a.apex + (a.base - a.apex) * (0.22 + 0.52 * n[(3 * i + 1) % 7])
        radius = 0.045 + 0.055 * n[(2 * i + 3) % 7]
        cover = np.maximum(cover, step(radius - np.hypot(chest.x - cx, chest.y - cy), 0.012))
    cover = cover * chest.lung
    return 1.3 * opacity * cover, cover > 0.5


def _nothing(chest: Chest, a: Anatomy, lesion: Lesion, tex: Textures, opacity: float) -> Shadow:
    """The air is where it was. In cardiomegaly the heart itself is drawn larger (`adapt`)."""
    return np.zeros_like(chest.x), (chest.heart > 0.5) & (lesion.finding == "cardiomegaly")


FINDINGS: dict[str, Callable[[Chest, Anatomy, Lesion, Textures, float], Shadow]] = {
    "normal": _nothing,
    "consolidation": _consolidation,
    "haze": _haze,
    "effusion": _effusion,
    "nodule": _nodule,
    "cardiomegaly": _nothing,
}


def adapt(anatomy: Anatomy, view: View, lesion: Lesion, opacity: float) -> Anatomy:
    """The anatomy on the day of a film: breathing in moves the diaphragm down and narrows the heart, and cardiomegaly
    widens the heart."""
    across, along = anatomy.heart
    across *= 1 - 0.7 * view.breath
    factor = 1.10 + 0.55 * opacity if lesion.finding == "cardiomegaly" else 1.0
    heart = (across * factor, along * (0.5 + 0.5 * factor))
    return replace(anatomy, base=anatomy.base + view.breath, heart=heart, heart_x=anatomy.heart_x * factor)
