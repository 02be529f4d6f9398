"""Anatomy and view to attenuation: how much radiation each pixel's ray loses on its way through the chest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from .anatomy import Anatomy, View

Field = Any  # numpy float32, H×W: numpy and cv2 lose the type at every step

CANVAS = 1.25  # half-width of a canvas on which textures are drawn once per patient


@dataclass(frozen=True)
class Chest:
    """One view of one patient, before disease. All H×W."""

    x: Field
    y: Field
    lung: Field  # 0..1
    depth: Field  # 0..1: how much of the ray runs through air
    heart: Field  # 0..1
    body: Field  # path length through the body
    bone: Field  # density that ribs, spine and clavicles add


def step(distance: Field, soft: float) -> Field:
    """0..1 across an edge at distance 0, about 4·`soft` wide (a smoothstep: exactly 0 and 1 away from the edge)."""
    t = np.clip(distance * np.float32(0.25 / soft) + np.float32(0.5), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32, copy=False)


def grid(size: int, view: View, anatomy: Anatomy) -> tuple[Field, Field]:
    """Patient coordinates of each pixel: the inverse of pose and of the patient's own deformation."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) * np.float32(2 / size) - 1
    x, y = np.meshgrid(axis - np.float32(view.shift[0]), axis - np.float32(view.shift[1]))
    cos, sin = np.float32(np.cos(view.angle) / view.zoom), np.float32(np.sin(view.angle) / view.zoom)
    x, y = x * cos + y * sin, y * cos - x * sin
    a, p = anatomy.warp[:4], anatomy.warp[4:]
    swing = a[0] * np.sin(3.1 * y + p[0]) + a[1] * np.sin(5.3 * y + p[1])
    lift = a[2] * np.sin(2.7 * x + p[2]) + a[3] * np.sin(4.9 * x + p[3])
    return (x + swing).astype(np.float32), (y + lift).astype(np.float32)


def sample(canvas: Field, x: Field, y: Field) -> Field:
    """A canvas in patient coordinates (`CANVAS` half-widths), read at the pixels of a view."""
    scale = np.float32(canvas.shape[0] / (2 * CANVAS))
    u, v = ((axis + CANVAS) * scale - np.float32(0.5) for axis in (x, y))
    return cv2.remap(canvas, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def render(anatomy: Anatomy, view: View, size: int) -> Chest:
    x, y = grid(size, view, anatomy)
    edge = max(0.012, 1.2 / size)  # softness of anatomical edges, about a pixel
    lung, depth = lungs(anatomy, x, y, edge)
    heart, thickness = heart_shadow(anatomy, x, y, edge)
    depth = depth * (1 - 0.80 * thickness)
    bones = ribs(anatomy, x, y, edge) + spine(anatomy, x, y, edge) + clavicles(anatomy, x, y, edge)
    bones = (anatomy.bone * bones).astype(np.float32)
    return Chest(x, y, lung * (1 - heart), depth, heart, body(anatomy, x, y), bones)


def lungs(a: Anatomy, x: Field, y: Field, edge: float) -> tuple[Field, Field]:
    """Lung fields and the depth of air in them. Each lung lies between an outer and an inner wall that part at the
    apex, above one dome of the diaphragm."""
    side, right = np.abs(x), x < 0
    t = np.clip((y - a.apex) / (a.base - a.apex), 0, 1.2)
    opening = np.sqrt(np.clip(1 - np.abs(1 - np.minimum(t, 1)) ** a.roundness, 0, 1))
    middle = 0.42 * a.width
    outer = middle + (a.width - middle) * opening
    inner = middle - (middle - a.gap) * np.minimum(1.0, 1.6 * opening)
    bulge = np.where(right, a.dome[0], a.dome[1])
    off = (side - 0.45 * a.width) / (0.56 * a.width)
    floor = a.base - bulge * (1 - off**2)
    inside = np.minimum(np.minimum(outer - side, side - inner), np.minimum(floor - y, (y - a.apex) * 1.5))
    lung = step(inside, edge * 0.7)
    rim = np.clip(inside / (0.5 * a.width), 0, 1)
    return lung, (lung * (0.45 + 0.55 * np.sqrt(1 - (1 - rim) ** 2 + 1e-6))).astype(np.float32)


def heart_shadow(a: Anatomy, x: Field, y: Field, edge: float) -> tuple[Field, Field]:
    """The heart, the aortic knob and the great vessels: outline and thickness, both 0..1."""
    across, along = a.heart
    cx, cy = a.heart_x, a.base - 0.10 - 0.82 * along
    cos, sin = np.float32(np.cos(0.6)), np.float32(np.sin(0.6))
    u, v = ((x - cx) * cos - (y - cy) * sin) / across, ((x - cx) * sin + (y - cy) * cos) / along
    u = u / (1 + 0.22 * np.clip(v, -1.2, 1.2))  # a pear: narrow towards the great vessels
    r = np.sqrt(u**2 + v**2)
    knob = np.sqrt(((x - a.gap * 0.75) / 0.085) ** 2 + ((y - a.apex - 0.40) / 0.095) ** 2)
    outline = np.maximum(step((1 - r) * across, edge), step((1 - knob) * 0.08, edge))
    thick = np.maximum(np.sqrt(np.clip(1.05 - r**2, 0, 1)), 0.7 * np.sqrt(np.clip(1.05 - knob**2, 0, 1)))
    return outline, (outline * (0.25 + 0.75 * thick)).astype(np.float32)


def body(a: Anatomy, x: Field, y: Field) -> Field:
    """Path length through trunk, neck and shoulders; 1 in the middle of an average chest."""
    side = np.abs(x)
    half = a.width + 0.09 * a.habitus + 0.05 * y
    trunk = np.sqrt(np.clip(1 - (x / half) ** 2, 0, 1))
    slope = a.apex - 0.10 + 0.30 * np.clip(side - 0.20, 0, 2) ** 1.2  # the line from the neck to the shoulders
    below = np.clip((y - slope) / 0.16, 0, 1)
    arms = 0.62 * np.sqrt(np.clip(1 - ((side - half - 0.16) / 0.26) ** 2, 0, 1)) * step(0.05 + 0.3 * side - y, 0.10)
    neck = np.sqrt(np.clip(1 - (x / 0.27) ** 2, 0, 1)) * 0.72
    shape = np.maximum(np.maximum(trunk, arms) * np.sqrt(below), neck * step(a.apex + 0.2 - y, 0.05))
    abdomen = 1 + 0.16 * step(y - a.base + 0.05, 0.08)
    bulges = (((side - 0.50 * a.width) / 0.36) ** 2, ((y - a.breast_y) / 0.28) ** 2)
    breasts = np.sqrt(np.clip(1 - bulges[0] - bulges[1], 0, 1))
    return (shape * abdomen * (0.72 + 0.28 * a.habitus) + a.breast * breasts).astype(np.float32)


def ribs(a: Anatomy, x: Field, y: Field, edge: float) -> Field:
    """Each rib is a tilted hoop around the chest: seen from the front, half an ellipse. Its upper arc is the
    posterior rib; the lower arc, fainter and fading towards the breastbone, is the anterior one."""
    side = np.abs(x)
    posterior, anterior = np.full_like(x, 2), np.full_like(x, 2)  # distance to the nearest arc
    for k in range(10):
        t = min((k * a.rib_pitch + 0.10) / (a.base - a.apex), 1)
        span = (a.width + 0.035) * (0.52 + 0.48 * (1 - (1 - t) ** 2.4) ** 0.5)
        half = a.rib_tilt * (0.55 + 0.45 * t)
        drop = y - (a.apex - 0.02 + k * a.rib_pitch + half * 0.8)
        reach = np.sqrt(np.maximum(1 - (side * (1 / span)) ** 2, 0))
        rise = (half / span**2) * side / np.maximum(reach, 0.25)
        level, past = 1 / np.sqrt(1 + rise * rise), np.maximum(side - span, 0)
        np.minimum(posterior, np.abs(drop + half * reach) * level + past, out=posterior)
        np.minimum(anterior, np.abs(drop - 1.15 * half * reach) * level + past, out=anterior)
    fading = step(side - 0.34 * a.width, 0.06)
    return 0.15 * tube(posterior, a.rib_width, edge) + 0.075 * tube(anterior, a.rib_width * 1.15, edge) * fading


def tube(distance: Field, radius: float, edge: float) -> Field:
    """A hollow bone seen from the side: even, with a denser cortex along both borders."""
    solid = step(radius - distance, edge * 0.45)
    rim = np.minimum(distance * np.float32(1 / radius), 1)
    return solid * (0.72 + 0.28 * rim * rim * rim)


def spine(a: Anatomy, x: Field, y: Field, edge: float) -> Field:
    """Vertebrae and discs along a slightly swung line, and the air in the windpipe in front of them."""
    line = a.curve * np.sin(2.2 * y)
    column = step(0.075 - np.abs(x - line), edge)
    bodies = 0.75 + 0.25 * np.tanh(4 * np.cos(2 * np.pi * y / (a.rib_pitch * 0.98)) + 2)
    carina = a.apex + 0.52
    trachea = step(0.042 - np.abs(x - line + 0.012), edge) * step(carina - y, 0.04)
    fork = np.abs(np.abs(x - line) - 0.55 * (y - carina) - 0.02)
    bronchi = step(0.024 - fork, edge) * step(y - carina + 0.02, 0.02) * step(carina + 0.20 - y, 0.03)
    return 0.20 * column * bodies - 0.20 * trachea - 0.10 * bronchi


def clavicles(a: Anatomy, x: Field, y: Field, edge: float) -> Field:
    """Two shallow S-curves from the breastbone to the shoulders."""
    side = np.abs(x)
    along = np.clip((side - 0.07) / 0.75, 0, 1)
    line = a.apex + 0.20 - a.clavicle * along - 0.05 * np.sin(2 * np.pi * along)
    shaft = tube(np.abs(y - line) / 1.06, 0.034, edge)
    return 0.19 * shaft * step(side - 0.07, edge) * step(0.88 - side, edge)
