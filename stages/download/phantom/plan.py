"""Which films a set consists of, and the faults planted among them. No pixels here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...shared.core.errors import UserError
from ..params import Finding, Phantom

FOLDERS = {"consolidation": "PNEUMONIA", "haze": "PNEUMONIA"}  # the others have their own


Answers = dict[str, list[Any]]  # kind of fault: the files or patients concerned


@dataclass(frozen=True)
class Scene:
    """What determines a film's pixels, beside the settings."""

    patient: int
    finding: str
    number: int


@dataclass(frozen=True)
class Film:
    """A file of the set. `scene` is its own, save for duplicates."""

    patient: int
    finding: str
    number: int
    scene: Scene
    fault: str = ""  # near_duplicate | truncated | blank: what is done to the file

    @property
    def stem(self) -> str:
        folder = FOLDERS.get(self.finding, self.finding.upper())
        return f"{folder}/{patient_name(self.patient)}_{self.finding}_{self.number}.png"

    @property
    def image(self) -> str:
        return f"images/{self.stem}"

    def mask(self, kind: str) -> str:
        return f"masks/{kind}/{self.stem.split('/')[1]}"


@dataclass
class Plan:
    films: list[Film]
    answers: Answers = field(default_factory=dict)


def patient_name(patient: int) -> str:
    return f"patient{patient:04d}"


def film(patient: int, finding: str, number: int) -> Film:
    return Film(patient, finding, number, Scene(patient, finding, number))


def make_plan(settings: Phantom) -> Plan:
    """Films sorted by patient and number, faults included, with the names of the faulty ones."""
    rng = np.random.default_rng([settings.seed, 2**32 - 1])
    findings = apportion(settings.findings, settings.patients, rng)
    low, high = settings.images_per_patient
    films: dict[int, list[Film]] = {}
    for patient, finding in enumerate(findings, start=1):
        count = int(np.random.default_rng([settings.seed, patient, 0]).integers(low, high + 1))
        films[patient] = [film(patient, finding, n + 1) for n in range(count)]
    answers = plant(films, settings, rng)
    return Plan([f for one in films.values() for f in one], answers)


def apportion(shares: Mapping[Finding, float], patients: int, rng: np.random.Generator) -> list[str]:
    """One finding per patient, in counts as close to the shares as whole numbers come (largest remainders)."""
    exact = np.array(list(shares.values())) / sum(shares.values()) * patients
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: patients - counts.sum()]] += 1
    names = np.repeat(list(shares), counts)
    return [str(name) for name in rng.permutation(names)]


def plant(films: dict[int, list[Film]], settings: Phantom, rng: np.random.Generator) -> Answers:
    """Put the faults into `films`, each in patients of its own; returns the names of the files concerned."""
    faults = settings.faults
    free = [int(p) for p in rng.permutation(list(films))]
    answers: Answers = {"exact_duplicates": [], "near_duplicates": []}
    for kind, count in (("exact_duplicates", faults.exact_duplicates), ("near_duplicates", faults.near_duplicates)):
        for _ in range(count):
            source, host = take_pair(free, films)
            original, number = films[source][0], len(films[host]) + 1
            copy = replace(original, patient=host, number=number, fault="" if kind == "exact_duplicates" else kind[:-1])
            films[host].append(copy)
            answers[kind].append({"original": original.image, "copy": copy.image})
    for kind, count in (("truncated", faults.truncated), ("blank", faults.blank)):
        hosts = [free.pop() for _ in range(count)]
        for host in hosts:
            films[host][-1] = replace(films[host][-1], fault=kind)
        answers[kind] = [films[host][-1].image for host in hosts]
    answers["conflicting_patients"] = [conflict(free, films, settings) for _ in range(faults.conflicting_patients)]
    return answers


def take_pair(free: list[int], films: dict[int, list[Film]]) -> tuple[int, int]:
    """Two patients with the same finding; both are struck off `free`."""
    for source in free:
        for host in free:
            if host != source and films[host][0].finding == films[source][0].finding:
                free.remove(source)
                free.remove(host)
                return source, host
    raise UserError(
        "params.yaml: download.phantom.faults: no two patients with the same finding are left for a duplicate. "
        "Raise patients or plant fewer duplicates."
    )


def conflict(free: list[int], films: dict[int, list[Film]], settings: Phantom) -> dict[str, object]:
    """Give a patient one more film, under another label."""
    patient = free.pop()
    own = films[patient][0]
    others = [film(patient, f, len(films[patient]) + 1) for f in settings.findings]
    others = [f for f in others if f.stem.split("/")[0] != own.stem.split("/")[0]]
    if not others:
        raise UserError(
            "params.yaml: download.phantom.faults.conflicting_patients: all findings share one folder, so no patient "
            "can be under two labels. Set it to 0 or add a finding, for example normal."
        )
    films[patient].append(others[0])
    return {"patient": patient_name(patient), "images": [f.image for f in films[patient]]}
