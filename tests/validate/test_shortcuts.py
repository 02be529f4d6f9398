"""Planted shortcuts raise a warning, clean images none; the numbers are scikit-learn's."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from stages.download import Params as Download
from stages.download import run as download
from stages.shared.core.job import Job
from stages.shared.core.paths import SHORTCUTS, VALIDATION
from stages.shared.core.settings import parse
from stages.validate import Params, run
from stages.validate.params import Shortcuts
from stages.validate.shortcuts.evidence import SIDE, hidden_box
from stages.validate.shortcuts.measure import measure, union
from stages.validate.shortcuts.meter import folds_of, out_of_fold, read

RNG = np.random.default_rng


def images(patients: int = 90, classes: tuple[str, ...] = ("normal", "pneumonia"), seed: int = 0):
    """Rows of the manifest and thumbnails 64×64 of noise: two images a patient, and no shortcut."""
    rng, names = RNG(seed), len(classes)
    rows = [(f"{p}_{number}.png", classes[p % names], f"p{p}") for p in range(patients) for number in range(2)]
    table = pd.DataFrame(rows, columns=["path", "label", "patient"])
    table["label"] = pd.Categorical(table["label"], categories=list(classes))
    table = table.assign(cluster=range(len(table)), width=64, height=64, mode="L", quantisation=np.nan)
    of_patient = rng.normal(0, 20, (patients, 64, 64)).repeat(2, axis=0)
    noise = rng.normal(0, 20, (len(table), 64, 64))
    return table, np.clip(120 + of_patient + noise, 0, 255).astype(np.uint8)


def meters(table, thumbnails, boxes=(), structures=()):
    measured = measure(table, [own.tobytes() for own in thumbnails], boxes, structures, Shortcuts())
    return {m["name"]: m for m in measured.numbers["meters"]}, measured


def flags(found):
    return [name for name, m in found.items() if m["flag"]]


def sick(table):
    return (table["label"] == table["label"].cat.categories[-1]).to_numpy()


def test_without_a_shortcut_there_is_no_warning():
    found, _ = meters(*images())
    assert flags(found) == []
    assert found["file"]["reason"] == "all files have the same size, mode and format"
    assert found["outside"]["reason"] == "no image has a mask"
    assert all(m["low"] < 0.5 < m["high"] for m in found.values() if m["reason"] is None)


def test_a_letter_in_the_corner_is_seen_at_the_border_alone():
    table, thumbnails = images()
    thumbnails[sick(table), 3:9, 3:7] = 230
    found, _ = meters(table, thumbnails)
    assert flags(found) == ["border"]
    assert found["border"]["low"] > 0.8


@pytest.mark.parametrize(
    "planted", [{"width": 80}, {"mode": "RGB"}, {"quantisation": 12.0}, {"width": 80, "height": 80}], ids=str
)
def test_facts_of_the_file_are_seen(planted):
    table, thumbnails = images()
    table = table.assign(**{name: table[name].where(~sick(table), value) for name, value in planted.items()})
    found, _ = meters(table, thumbnails)
    assert flags(found) == ["file"]


def test_a_size_in_the_middle_of_the_others_is_seen():
    table, thumbnails = images()
    around = RNG(1).choice([40, 90], len(table))
    table["width"] = np.where(sick(table), 64, around)
    found, _ = meters(table, thumbnails)
    assert found["file"]["auroc"] > 0.95


def test_what_lies_outside_the_structures_is_seen_and_what_lies_inside_is_not():
    table, thumbnails = images()
    boxes = [(0.3, 0.3, 0.7, 0.7)] * len(table)
    inside, outside = thumbnails.copy(), thumbnails.copy()
    inside[sick(table), 24:40, 24:40] //= 2
    outside[sick(table), 50:56, 24:40] //= 2
    assert flags(meters(table, inside, boxes, ["lung"])[0]) == []
    found, _ = meters(table, outside, boxes, ["lung"])
    assert flags(found) == ["outside"]
    assert found["outside"]["title"] == "Outside of lung"


def test_brightness_may_be_the_disease_and_is_no_warning():
    table, thumbnails = images()
    thumbnails[sick(table), 20:44, 20:44] = 250
    found, _ = meters(table, thumbnails)
    assert found["brightness"]["low"] > 0.9
    assert flags(found) == []


def test_the_hidden_box_holds_nearly_all_boxes_and_is_one_for_all_images():
    hidden = hidden_box([(0.25, 0.25, 0.5, 0.75)] * 39 + [(0.0, 0.0, 1.0, 1.0)])
    assert hidden.shape == (SIDE, SIDE)
    rows, columns = np.flatnonzero(hidden.any(axis=1)), np.flatnonzero(hidden.any(axis=0))
    assert (rows[0], rows[-1]) == (7, 24)  # 0.25 and 0.75 of 32 pixels, and the margin
    assert (columns[0], columns[-1]) == (7, 16)
    assert union([(0.2, 0.3, 0.5, 0.6), (0.4, 0.1, 0.9, 0.5)]) == (0.2, 0.1, 0.9, 0.6)
    assert union([]) is None


def test_patients_and_those_who_share_a_picture_are_never_on_both_sides():
    table, _ = images(30)
    groups = RNG(0).integers(0, 20, 60)
    fold = folds_of(np.asarray(table["label"].cat.codes), groups)
    assert pd.Series(fold).groupby(groups).nunique().max() == 1
    assert set(fold) == set(range(5))


def test_a_picture_learned_by_heart_tells_nothing():
    """Labels at random, images of a patient alike: without groups this would be told by the twin."""
    _, thumbnails = images(60, seed=3)
    labels = RNG(5).integers(0, 2, 60).repeat(2)
    features = thumbnails.reshape(120, -1).astype(float)
    grouped = folds_of(labels, np.arange(60).repeat(2))
    alone = folds_of(labels, np.arange(120))
    reading = {
        name: roc_auc_score(labels, out_of_fold(features, labels, fold)[:, 1])
        for name, fold in (("grouped", grouped), ("alone", alone))
    }
    assert reading["grouped"] < 0.65
    assert reading["alone"] > 0.85


def test_three_classes_are_read_each_against_the_rest():
    table, thumbnails = images(90, ("normal", "bacterial", "viral"))
    for k, label in enumerate(table["label"].cat.categories):
        thumbnails[(table["label"] == label).to_numpy(), 2:8, 2 + 8 * k : 8 + 8 * k] = 220
    found, measured = meters(table, thumbnails)
    assert flags(found) == ["border"]
    rows = measured.scores[measured.scores["meter"] == "border"]
    probabilities = rows[["prob_normal", "prob_bacterial", "prob_viral"]].to_numpy()
    codes = rows["label"].cat.codes
    expected = roc_auc_score(codes, probabilities, multi_class="ovr", average="macro")
    assert found["border"]["auroc"] == pytest.approx(expected, abs=1e-12)


def test_too_few_patients_or_classes_give_a_reason_and_no_numbers():
    table, thumbnails = images(4)
    found, measured = meters(table, thumbnails)
    assert found == {}
    assert measured.numbers["reason"] == "a class has images of fewer than 3 patients"
    table, thumbnails = images(10, ("normal",))
    assert meters(table, thumbnails)[1].numbers["reason"] == "there is one class"


def test_many_images_are_thinned_by_whole_patients(monkeypatch):
    monkeypatch.setattr("stages.validate.shortcuts.measure.MOST", 60)
    table, thumbnails = images(90)
    _, measured = meters(table, thumbnails)
    assert measured.numbers["images"] == 60
    assert measured.numbers["groups"] == 30


@pytest.mark.parametrize("ill", [4, 0], ids=["rare", "absent"])
def test_a_rare_class_is_not_thinned_away(ill, monkeypatch):
    monkeypatch.setattr("stages.validate.shortcuts.measure.MOST", 60)
    table, thumbnails = images(300)
    table["label"] = table["label"].mask(table["patient"].str[1:].astype(int) >= ill, "normal")
    expected = int((table["label"] == "pneumonia").sum())
    _, measured = meters(table, thumbnails)
    if ill:
        table = table.assign(patient=table["path"])  # 2 ill patients are too few, 4 are not
        _, measured = meters(table, thumbnails)
        assert measured.numbers["reason"] is None
        own = measured.scores[measured.scores["meter"] == "border"]["label"].value_counts()
        assert own.to_dict() == {"normal": 30, "pneumonia": expected}
    else:
        assert measured.numbers["reason"] == "pneumonia has no image"


def test_the_interval_covers_the_auroc_of_independent_images():
    """Two normal distributions whose AUROC is known; intervals of 95% miss it in about 5 of 100."""
    truth, missed = 0.76025, 0  # of a shift of one standard deviation
    for seed in range(100):
        rng = RNG(seed)
        labels = rng.integers(0, 2, 120)
        score = rng.normal(labels, 1)
        reading = read(np.column_stack([-score, score]), labels, np.arange(120), 0.95)
        missed += not reading.low <= truth <= reading.high
    assert missed <= 11  # P(more) = 0.4% where 5% are missed


@pytest.mark.parametrize("marker", [0.0, 1.0], ids=["clean", "marked"])
def test_the_marker_of_the_phantom_is_caught_and_nothing_is_reported_without(marker, workplace, capsys):
    faults = {"corner_marker": marker}
    settings = {"patients": 70, "images_per_patient": [1, 1], "size": 64, "faults": faults}
    download(parse(Download, {"source": "phantom", "phantom": settings}, "download"), Job())
    params = {
        "classes": {"normal": "images/NORMAL/*", "pneumonia": "images/PNEUMONIA/*"}, "patient": r"patient\d+",
        "ignore": ["masks/lesion/**", "phantom.json"], "mask": {"lung": "masks/lung/{stem}.png"},
        "on_failure": "quarantine",
    }  # fmt: skip
    result, marked = run(parse(Params, params, "validate"), Job()), marker > 0
    numbers = json.loads((SHORTCUTS / "shortcuts.json").read_text())
    found = {m["name"]: m for m in numbers["meters"]}
    assert found["outside"]["reason"] == "the structures fill the whole image"
    assert flags(found) == (["border"] if marked else [])
    assert result.metrics["shortcut_warnings"] == len(flags(found))
    assert result.metrics["shortcut/border"] == pytest.approx(found["border"]["auroc"])
    check = next(c for c in json.loads(VALIDATION.read_text())["checks"] if c["name"] == "no_shortcut")
    assert check["success"] is not marked
    scores = pd.read_parquet(SHORTCUTS / "scores.parquet")
    for name, rows in scores.groupby("meter"):
        assert rows.groupby("group")["fold"].nunique().max() == 1
        expected = roc_auc_score(rows["label"] == "pneumonia", rows["prob_pneumonia"])
        assert found[name]["auroc"] == pytest.approx(expected, abs=1e-12)
    page = (VALIDATION.parent / "data_docs/index.html").read_text()
    assert "Can the class be told from something else?" in page
    assert ("Possible shortcut" in capsys.readouterr().err) is marked
