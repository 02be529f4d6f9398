from __future__ import annotations

import io
import re
from functools import lru_cache

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from stages.download.params import Phantom
from stages.download.phantom.cohort import Scene
from stages.download.phantom.film import draw
from stages.download.phantom.findings import FINDINGS
from stages.shared.core.paths import RAW
from stages.shared.images.archive import Archive

from .conftest import Produce

SMALL = {"patients": 24, "size": 64, "seed": 3}
NO_FAULTS = dict.fromkeys(
    ("exact_duplicates", "near_duplicates", "truncated", "blank", "conflicting_patients", "crops"), 0
)
NAME = re.compile(r"images/(NORMAL|PNEUMONIA)/patient(\d{4})_(normal|consolidation|haze)_(\d+)\.png")


def images(archive: Archive) -> list[str]:
    return [n for n in archive.names() if n.startswith("images/")]


def masks(archive: Archive, kind: str) -> list[str]:
    return [n for n in archive.names() if n.startswith(f"masks/{kind}/")]


@lru_cache
def film(patient: int, finding: str, number: int = 0, size: int = 96) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    image, lung, lesion = draw(Scene(patient, finding, number), Phantom(size=size, opacity=(0.5, 0.5)))
    return image.astype(float), lung > 0, lesion > 0


def test_the_seed_determines_every_byte(produce: Produce) -> None:
    produce(phantom=SMALL)
    first = RAW.read_bytes()
    produce(phantom=SMALL)
    assert RAW.read_bytes() == first
    produce(phantom={**SMALL, "seed": 4})
    assert RAW.read_bytes() != first


def test_names_carry_label_patient_and_number_and_each_film_has_both_masks(produce: Produce) -> None:
    result, archive = produce(phantom=SMALL)
    found = [NAME.fullmatch(n) for n in images(archive)]
    assert all(found)
    assert all((m[1] == "NORMAL") == (m[3] == "normal") for m in found)
    assert {int(m[2]) for m in found} == set(range(1, 25))
    stems = sorted(n.rsplit("/", 1)[1] for n in images(archive))
    for kind in ("lung", "lesion"):
        assert [n.rsplit("/", 1)[1] for n in masks(archive, kind)] == stems
    assert result.metrics == {"images": len(found), "patients": 24, "bytes": RAW.stat().st_size}


def test_patients_have_the_asked_for_findings_and_numbers_of_films(produce: Produce) -> None:
    findings = {"normal": 2, "nodule": 1, "effusion": 1}
    _, archive = produce(phantom={**SMALL, "findings": findings, "images_per_patient": [2, 3], "faults": NO_FAULTS})
    by_patient: dict[str, list[str]] = {}
    for name in images(archive):
        _, folder, stem = name.split("/")
        patient, finding, _ = stem.split("_")
        assert folder == finding.upper()
        by_patient.setdefault(patient, []).append(finding)
    assert {len(v) for v in by_patient.values()} == {2, 3}
    firsts = [v[0] for v in by_patient.values()]
    assert {f: firsts.count(f) for f in findings} == {"normal": 12, "nodule": 6, "effusion": 6}


def test_films_and_masks_are_8_bit_grey_of_the_asked_for_size(produce: Produce) -> None:
    _, archive = produce(phantom={**SMALL, "faults": NO_FAULTS})
    for name in archive.names():
        if name.endswith(".png"):
            with Image.open(io.BytesIO(archive.read(name))) as image:
                assert (image.format, image.mode, image.size) == ("PNG", "L", (64, 64))
                if name.startswith("masks"):
                    assert set(np.unique(np.asarray(image))) <= {0, 255}


def test_normal_films_have_a_black_lesion_mask_and_others_do_not(produce: Produce) -> None:
    _, archive = produce(phantom={**SMALL, "faults": NO_FAULTS})
    empty = {n: not np.asarray(Image.open(io.BytesIO(archive.read(n)))).any() for n in masks(archive, "lesion")}
    assert all(is_empty == ("_normal_" in name) for name, is_empty in empty.items())


@pytest.mark.parametrize("patient", range(1, 13))
def test_there_are_two_lungs_darker_than_what_lies_between_them(patient: int) -> None:
    image, lung, _ = film(patient, "normal")
    parts, count = ndimage.label(lung)
    sizes = np.sort(ndimage.sum_labels(lung, parts, range(1, count + 1)))[::-1]
    assert 0.12 < lung.mean() < 0.5
    assert sizes[:2].sum() > 0.97 * lung.sum()
    assert sizes[1] > 0.3 * sizes[0]
    left, right = (
        ndimage.center_of_mass(parts == i) for i in np.argsort(-ndimage.sum_labels(lung, parts, [1, 2]))[:2] + 1
    )
    rows = slice(*np.percentile(np.nonzero(lung)[0], [20, 80]).astype(int))
    columns = slice(*sorted((int(left[1]), int(right[1]))))
    between = image[rows, columns][~lung[rows, columns]]
    assert image[lung].mean() + 25 < between.mean()


@pytest.mark.parametrize("finding", [f for f in FINDINGS if f not in ("normal", "cardiomegaly")])
@pytest.mark.parametrize("patient", [1, 2, 5])
def test_a_finding_brightens_the_lung_where_its_mask_says(finding: str, patient: int) -> None:
    healthy, lung, _ = film(patient, "normal")
    ill, _, lesion = film(patient, finding)
    change = ill - healthy  # the same view, noise included
    assert (lesion & ~lung).sum() == 0
    assert change[lesion].mean() > 8
    assert change[lesion].mean() > 3 * abs(change[~lesion].mean())


@pytest.mark.parametrize("patient", [1, 2, 5])
def test_cardiomegaly_is_a_wider_heart(patient: int) -> None:
    def width(finding: str) -> float:
        _, lung, _ = film(patient, finding)
        row = lung[int(np.percentile(np.nonzero(lung)[0], 75))]
        inside = np.nonzero(row)[0]
        return float((~row[inside[0] : inside[-1]]).mean())  # the part of the chest's width that is no lung

    assert width("cardiomegaly") > 1.12 * width("normal")


def test_more_opacity_is_plainer() -> None:
    def change(opacity: float) -> float:
        settings = Phantom(size=64, opacity=(opacity, opacity))
        ill, _, lesion = draw(Scene(7, "consolidation", 0), settings)
        healthy, _, _ = draw(Scene(7, "normal", 0), settings)
        return float((ill.astype(float) - healthy)[lesion > 0].mean())

    assert 0 < change(0.1) < change(0.3) < change(0.6)


def test_films_of_one_patient_resemble_each_other_more_than_those_of_two() -> None:
    def overlap(a: np.ndarray, b: np.ndarray) -> float:
        a, b = (np.roll(m, -np.rint(np.array(ndimage.center_of_mass(m)) - 48).astype(int), (0, 1)) for m in (a, b))
        return (a & b).sum() / (a | b).sum()

    lungs = {(p, n): film(p, "normal", n)[1] for p in range(1, 9) for n in range(2)}
    same = [overlap(lungs[p, 0], lungs[p, 1]) for p in range(1, 9)]
    other = [overlap(lungs[p, 0], lungs[q, 1]) for p in range(1, 9) for q in range(1, 9) if p != q]
    assert np.mean(same) > np.mean(other) + 0.05
    assert all(not np.array_equal(film(p, "normal", 0)[0], film(p, "normal", 1)[0]) for p in range(1, 9))


def test_a_simple_classifier_is_neither_perfect_nor_lost(produce: Produce) -> None:
    from sklearn.linear_model import RidgeClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    _, archive = produce(phantom={"patients": 160, "size": 64, "faults": NO_FAULTS})
    names = images(archive)
    pixels = [np.asarray(Image.open(io.BytesIO(archive.read(n)))).astype(float) for n in names]
    edges = [np.abs(p - ndimage.gaussian_filter(p, 2)) for p in pixels]
    x = np.array(
        [np.hstack([ndimage.zoom(q, 0.25, order=1).ravel() for q in pair]) for pair in zip(pixels, edges, strict=True)]
    )
    y = np.array(["PNEUMONIA" in n for n in names])
    patients = [n.split("/")[2].split("_")[0] for n in names]
    model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=1000))
    scores = cross_val_predict(model, x, y, groups=patients, cv=GroupKFold(4), method="decision_function")
    assert 0.55 < roc_auc_score(y, scores) < 0.95
