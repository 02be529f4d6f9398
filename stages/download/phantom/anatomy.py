"""What a patient looks like (shared by all of the patient's films) and how one view differs from the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Anatomy:
    """Lengths in half-widths of the film, densities relative to a chest's soft tissue."""

    width: float  # half-width of the rib cage at its widest
    apex: float  # y of the top of the lungs
    base: float  # y of the costophrenic angles
    dome: tuple[float, float]  # how far each half of the diaphragm bulges up (patient's right, left)
    gap: float  # half-width of the mediastinum
    roundness: float  # how quickly the chest widens below the apex
    heart: tuple[float, float]  # half-axes
    heart_x: float
    habitus: float  # soft tissue in front of and behind the chest
    rib_pitch: float
    rib_tilt: float
    rib_width: float
    bone: float  # density of the skeleton
    curve: float  # scoliosis: sideways swing of the spine
    clavicle: float  # rise towards the shoulder
    breast: float  # density of the soft shadow over the lower lungs
    breast_y: float
    vessels: float  # density of the vascular markings
    warp: tuple[float, ...]  # amplitudes and phases of a smooth deformation


@dataclass(frozen=True)
class View:
    """How one film of a patient was taken."""

    angle: float  # radians
    shift: tuple[float, float]
    zoom: float
    breath: float  # inspiration: moves the diaphragm down
    photons: float  # per pixel behind no body at all
    exposure: float
    gamma: float
    contrast: float
    grain: float
    blur: float  # in pixels of a 128-pixel film
    frame: tuple[float, float, float, float]  # collimation, left, top, right, bottom


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    u = rng.uniform
    dome = u(0.10, 0.20)
    return Anatomy(
        width=u(0.70, 0.84),
        apex=u(-0.80, -0.66),
        base=u(0.62, 0.80),
        dome=(dome + u(0.03, 0.09), dome),
        gap=u(0.10, 0.15),
        roundness=u(1.7, 2.6),
        heart=(u(0.25, 0.32), u(0.40, 0.49)),
        heart_x=u(0.07, 0.13),
        habitus=u(0.85, 1.25),
        rib_pitch=u(0.150, 0.180),
        rib_tilt=u(0.22, 0.38),
        rib_width=u(0.026, 0.036),
        bone=u(0.75, 1.25),
        curve=float(rng.normal(0, 0.015)),
        clavicle=u(0.06, 0.20),
        breast=u(0.05, 0.20) * float(rng.random() < 0.45),
        breast_y=u(0.25, 0.45),
        vessels=u(0.5, 1.4),
        warp=tuple(rng.normal(0, 0.010, 4)) + tuple(rng.uniform(0, 2 * np.pi, 4)),
    )


def draw_view(rng: np.random.Generator) -> View:
    u = rng.uniform
    collimated = rng.random() < 0.3
    return View(
        angle=float(np.clip(rng.normal(0, 0.03), -0.09, 0.09)),
        shift=(float(np.clip(rng.normal(0, 0.05), -0.12, 0.12)), float(np.clip(rng.normal(0, 0.05), -0.12, 0.12))),
        zoom=u(0.96, 1.18),
        breath=float(np.clip(rng.normal(0, 0.035), -0.09, 0.07)),
        photons=float(np.exp(u(np.log(2500), np.log(9000)))),
        exposure=u(-0.08, 0.08),
        gamma=u(0.80, 1.25),
        contrast=u(0.90, 1.15),
        grain=u(0.008, 0.020),
        blur=u(0.35, 0.75),
        frame=tuple(u(0.0, 0.06, 4)) if collimated else (0.0, 0.0, 0.0, 0.0),
    )
