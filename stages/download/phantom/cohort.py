"""Which films a set consists of, and the faults planted among them. No pixels here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from ...shared.core.errors import UserError
from ..params import Finding, Phantom

FOLDERS = {"consolidation": "PNEUMONIA", "haze": "PNEUMONIA"}  # the others have their own
FAULTS = "params.yaml: download.phantom.faults"
Faults = dict[str, list[Any]]  # kind of fault: the files or patients concerned


@dataclass(frozen=True)
class Scene:
    """What determines a film's pixels, beside the settings."""

    patient: int
    finding: str
    number: int


@dataclass(frozen=True)
class Film:
    """A file of the set. `scene` is of the same patient and number, except for duplicates."""

    patient: int
    number: int
    scene: Scene
    fault: str = ""  # near_duplicate | truncated | blank | frame | shrink: what is done to the file

    @property
    def folder(self) -> str:
        return FOLDERS.get(self.scene.finding, self.scene.finding.upper())

    @property
    def name(self) -> str:
        return f"patient{self.patient:04d}_{self.scene.finding}_{self.number}.png"

    @property
    def image(self) -> str:
        return f"images/{self.folder}/{self.name}"

    def mask(self, kind: str) -> str:
        return f"masks/{kind}/{self.name}"


def new_film(patient: int, finding: str, number: int) -> Film:
    return Film(patient, number, Scene(patient, finding, number))


def draw_cohort(settings: Phantom) -> tuple[list[Film], Faults]:
    """Films sorted by patient and number, faulty ones included, and the names of the faulty ones."""
    rng = np.random.default_rng([settings.seed, 2**32 - 1])
    low, high = settings.images_per_patient
    films: dict[int, list[Film]] = {}
    for patient, finding in enumerate(apportion(settings.findings, settings.patients, rng), start=1):
        count = int(np.random.default_rng([settings.seed, patient, 0]).integers(low, high + 1))
        films[patient] = [new_film(patient, finding, number) for number in range(1, count + 1)]
    faults = plant(films, settings, rng)
    return [film for of_patient in films.values() for film in of_patient], faults


def apportion(shares: Mapping[Finding, float], patients: int, rng: np.random.Generator) -> list[str]:
    """One finding per patient, in counts as close to the shares as whole numbers come (largest remainders)."""
    exact = np.array(list(shares.values())) / sum(shares.values()) * patients
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: patients - counts.sum()]] += 1
    return [str(name) for name in rng.permutation(np.repeat(list(shares), counts))]


def plant(films: dict[int, list[Film]], settings: Phantom, rng: np.random.Generator) -> Faults:
    """Put the faults into `films`, each in other patients; returns the names of the files concerned."""
    counts = settings.faults
    free = [int(p) for p in rng.permutation(list(films))]
    return {
        "exact_duplicates": [duplicate(films, free, "") for _ in range(counts.exact_duplicates)],
        "near_duplicates": [duplicate(films, free, "near_duplicate") for _ in range(counts.near_duplicates)],
        "truncated": [damage(films[free.pop()], "truncated") for _ in range(counts.truncated)],
        "blank": [damage(films[free.pop()], "blank") for _ in range(counts.blank)],
        "conflicting_patients": [conflict(films[free.pop()], settings) for _ in range(counts.conflicting_patients)],
        "crops": [duplicate(films, free, ("frame", "shrink")[i % 2]) for i in range(counts.crops)],
    }


def duplicate(films: dict[int, list[Film]], free: list[int], fault: str) -> dict[str, str]:
    """Give a patient another one's first film, under the same finding; both are removed from `free`."""
    for source, host in combinations(free, 2):
        original = films[source][0]
        if original.scene.finding == films[host][0].scene.finding:
            free.remove(source)
            free.remove(host)
            copy = replace(original, patient=host, number=len(films[host]) + 1, fault=fault)
            films[host].append(copy)
            return {"original": original.image, "copy": copy.image}
    raise UserError(
        f"{FAULTS}: no two patients with the same finding are left for a duplicate. Raise patients or plant fewer "
        "duplicates."
    )


def damage(films: list[Film], fault: str) -> str:
    films[-1] = replace(films[-1], fault=fault)
    return films[-1].image


def conflict(films: list[Film], settings: Phantom) -> dict[str, object]:
    """Give a patient one more film, under another label."""
    first = films[0]
    candidates = [new_film(first.patient, finding, len(films) + 1) for finding in settings.findings]
    others = [film for film in candidates if film.folder != first.folder]
    if not others:
        raise UserError(
            f"{FAULTS}.conflicting_patients: all findings share one folder, so no patient can be under two labels. Set "
            "it to 0 or add a finding, for example normal."
        )
    films.append(others[0])
    return {"patient": f"patient{first.patient:04d}", "images": [film.image for film in films]}
