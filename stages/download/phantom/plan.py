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
    fault: str = ""  # near_duplicate | truncated | blank: what is done to the file

    @property
    def folder(self) -> str:
        return FOLDERS.get(self.scene.finding, self.scene.finding.upper())

    @property
    def name(self) -> str:
        return f"{patient_name(self.patient)}_{self.scene.finding}_{self.number}.png"

    @property
    def image(self) -> str:
        return f"images/{self.folder}/{self.name}"

    def mask(self, kind: str) -> str:
        return f"masks/{kind}/{self.name}"


def patient_name(patient: int) -> str:
    return f"patient{patient:04d}"


def new_film(patient: int, finding: str, number: int) -> Film:
    return Film(patient, number, Scene(patient, finding, number))


def make_plan(settings: Phantom) -> tuple[list[Film], Faults]:
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
    faults: Faults = {"exact_duplicates": [], "near_duplicates": []}
    for kind, fault, count in (
        ("exact_duplicates", "", counts.exact_duplicates),
        ("near_duplicates", "near_duplicate", counts.near_duplicates),
    ):
        for _ in range(count):
            source, host = take_pair(free, films)
            original = films[source][0]
            copy = replace(original, patient=host, number=len(films[host]) + 1, fault=fault)
            films[host].append(copy)
            faults[kind].append({"original": original.image, "copy": copy.image})
    for kind, count in (("truncated", counts.truncated), ("blank", counts.blank)):
        hosts = [free.pop() for _ in range(count)]
        for host in hosts:
            films[host][-1] = replace(films[host][-1], fault=kind)
        faults[kind] = [films[host][-1].image for host in hosts]
    faults["conflicting_patients"] = [conflict(free.pop(), films, settings) for _ in range(counts.conflicting_patients)]
    return faults


def take_pair(free: list[int], films: dict[int, list[Film]]) -> tuple[int, int]:
    """Two patients with the same finding; both are removed from `free`."""
    for source, host in combinations(free, 2):
        if films[source][0].scene.finding == films[host][0].scene.finding:
            free.remove(source)
            free.remove(host)
            return source, host
    raise UserError(
        "params.yaml: download.phantom.faults: no two patients with the same finding are left for a duplicate. "
        "Raise patients or plant fewer duplicates."
    )


def conflict(patient: int, films: dict[int, list[Film]], settings: Phantom) -> dict[str, object]:
    """Give a patient one more film, under another label."""
    candidates = [new_film(patient, finding, len(films[patient]) + 1) for finding in settings.findings]
    others = [film for film in candidates if film.folder != films[patient][0].folder]
    if not others:
        raise UserError(
            "params.yaml: download.phantom.faults.conflicting_patients: all findings share one folder, so no patient "
            "can be under two labels. Set it to 0 or add a finding, for example normal."
        )
    films[patient].append(others[0])
    return {"patient": patient_name(patient), "images": [film.image for film in films[patient]]}
