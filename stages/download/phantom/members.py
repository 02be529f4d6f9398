"""The films of a cohort -> data/raw.zip: images, masks and the list of planted faults."""

from __future__ import annotations

import json
from collections.abc import Iterator

import cv2
import numpy as np

from ...shared.core.paths import RAW
from ...shared.core.progress import progress
from ...shared.images.archive import write_archive
from ..params import Phantom
from .cohort import Scene, draw_cohort
from .film import draw


def pack(settings: Phantom) -> dict[str, float]:
    """Write data/raw.zip; returns counts."""
    films, faults = draw_cohort(settings)

    def members() -> Iterator[tuple[str, bytes]]:
        """(name, bytes). Every film has a lesion mask; it is black where there is no lesion."""
        marked = []
        for film in progress(films, desc="drawing films", unit="films"):
            image, lung, lesion = draw(film.scene, settings)
            if has_marker(film.scene, settings):
                put_marker(image)
                marked.append(film.image)
            numbers = np.random.default_rng([settings.seed, film.patient, 5, film.number]).random(4)
            image, lung, lesion = (reframe(picture, film.fault, numbers) for picture in (image, lung, lesion))
            yield film.image, encode(image, film.fault)
            yield film.mask("lung"), encode(lung)
            yield film.mask("lesion"), encode(lesion)
        findings = [name for name, share in settings.findings.items() if share]
        answers = {"seed": settings.seed, "findings": findings, "faults": {**faults, "corner_marker": marked}}
        yield "phantom.json", (json.dumps(answers, indent=1) + "\n").encode()

    write_archive(RAW, members())
    return {"images": len(films), "patients": settings.patients}


def has_marker(scene: Scene, settings: Phantom) -> bool:
    p = settings.faults.corner_marker
    chance = (1 - p) if scene.finding == "normal" else p
    return p > 0 and np.random.default_rng([settings.seed, scene.patient, 4, scene.number]).random() < chance


def put_marker(image: np.ndarray) -> None:
    """Draw a letter as radiographers lay it on the cassette."""
    size = image.shape[0]
    at, thickness = (round(0.04 * size), round(0.14 * size)), max(1, size // 90)
    cv2.putText(image, "L", at, cv2.FONT_HERSHEY_SIMPLEX, size / 240, 235, thickness, cv2.LINE_AA)


def reframe(picture: np.ndarray, fault: str, numbers: np.ndarray) -> np.ndarray:
    """An image or a mask, uint8, as the fault leaves it. frame: the same size, but the film fills only a part of it, on
    black, so the original is a crop of it. shrink: 60 to 90% of the size. `numbers`: four in 0..1."""
    size = picture.shape[0]
    is_mask = set(np.unique(picture)) <= {0, 255}
    how = cv2.INTER_NEAREST if is_mask else cv2.INTER_AREA
    if fault == "frame":
        top, bottom, left, right = np.rint(size * (0.03 + 0.10 * numbers)).astype(int)
        picture = cv2.copyMakeBorder(picture, top, bottom, left, right, cv2.BORDER_CONSTANT, value=0)
        return cv2.resize(picture, (size, size), interpolation=how)
    if fault == "shrink":
        side = round(size * (0.6 + 0.3 * numbers[0]))
        return cv2.resize(picture, (side, side), interpolation=how)
    return picture


def encode(image: np.ndarray, fault: str = "") -> bytes:
    """A PNG file, with the fault planted in it."""
    if fault == "blank":
        image = np.full_like(image, 12)
    if fault == "near_duplicate":
        brighter = cv2.convertScaleAbs(image, alpha=1.03, beta=2)
        jpeg = cv2.imencode(".jpg", brighter, [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
        image = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE))
    data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 6])[1].tobytes()
    return data[: len(data) // 2] if fault == "truncated" else data
