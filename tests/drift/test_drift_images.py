"""From files to a verdict: phantom films with planted changes, read as `drift FOLDER` reads them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from stages.download.params import Phantom
from stages.download.phantom.cohort import draw_cohort
from stages.download.phantom.film import draw
from stages.drift import read, report, sentences
from stages.drift.params import Params
from stages.drift.statistics.battery import Options
from stages.drift.verdict import Findings, judge
from stages.shared.arrays.preprocessing import Preprocessor, PreprocessSpec
from stages.shared.core.errors import UserError
from stages.shared.exported import served
from stages.shared.exported.facts import facts_of
from stages.shared.exported.training import FACTS

Change = Callable[[np.ndarray], np.ndarray]
OPTIONS = Options(alpha=0.05, permutations=399, draws=100, level=0.95, seed=0)
NO_FAULTS = dict.fromkeys(
    ("exact_duplicates", "near_duplicates", "truncated", "blank", "conflicting_patients", "crops"), 0
)


def films(seed: int, patients: int, normal: float = 0.5, first: int | None = None) -> list[tuple[str, int, np.ndarray]]:
    """(name, label, uint8 64×64), one of each patient, with plain findings; `first`: no more than these."""
    settings = Phantom.model_validate(
        {
            "patients": patients, "seed": seed, "size": 64, "images_per_patient": [1, 1], "opacity": [0.8, 1],
            "findings": {"normal": normal, "consolidation": 1 - normal}, "faults": NO_FAULTS,
        }
    )  # fmt: skip
    own, _ = draw_cohort(settings)
    return [(film.name, int(film.scene.finding != "normal"), draw(film.scene, settings)[0]) for film in own[:first]]


class Model:
    """Stands for an export: a logistic regression on 16×16 pixels, whose features are these pixels."""

    def __init__(self) -> None:
        self.preprocessor = Preprocessor(PreprocessSpec(mode="grey", size=16, steps=[]))
        self.classes = ["normal", "pneumonia"]
        self.recipe = SimpleNamespace(key="small_cnn-fine_tune-full")
        self.certificate = SimpleNamespace(onnx_sha256="0" * 64)
        self.training = SimpleNamespace(sha256=np.array([], str))
        learned = films(1, 120)
        pixels = np.stack([self.preprocessor.prepare(image[..., None]).image for _, _, image in learned])
        both = self.features(np.concatenate([pixels, pixels[:, :, ::-1]]))
        self.head = LogisticRegression(C=3, max_iter=500).fit(both, 2 * [label for _, label, _ in learned])
        tested = films(2, 110)
        answers = self.predict(np.stack([self.preprocessor.prepare(own[..., None]).image for _, _, own in tested]))
        facts = [facts_of(image[..., None]) for _, _, image in tested]
        self.held_out = SimpleNamespace(
            labels=np.array([self.classes[label] for _, label, _ in tested]), described=np.arange(len(tested)),
            features=answers.features, probabilities=answers.probabilities,
            patients=np.array([name for name, _, _ in tested]),
            facts={name: np.array([own[name] for own in facts]) for name in FACTS},
            sha256=np.array([hashlib.sha256(png(image)).hexdigest() for _, _, image in tested]),
        )  # fmt: skip

    def features(self, images: np.ndarray) -> np.ndarray:
        return (images.reshape(len(images), -1) / 64).astype(np.float32)

    def predict(self, images: np.ndarray) -> Any:
        features = self.features(images)
        return SimpleNamespace(features=features, probabilities=self.head.predict_proba(features).astype(np.float32))


@pytest.fixture(scope="module")
def model() -> Any:
    return Model()


@pytest.fixture(scope="module")
def later() -> list[tuple[str, int, np.ndarray]]:
    return films(3, 50)


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def folder_of(place: Path, images: list[tuple[str, int, np.ndarray]], change: Change = lambda image: image) -> Path:
    for name, _, image in images:
        (place / name).write_bytes(png(change(image)))
    return place


def verdict(model: Any, new: read.New) -> Findings:
    return judge(read.reference(model), new.sample, OPTIONS, least=20)


def test_more_images_from_the_same_source_are_no_drift(model: Any, later: Any, tmp_path: Path) -> None:
    new = read.of_folder(folder_of(tmp_path, later), model, r"patient\d+")
    assert new.patients_known
    assert verdict(model, new).name == "none"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda image: np.clip(255 * (image / 255) ** 1.8, 0, 255).astype(np.uint8), id="exposure"),
        pytest.param(lambda image: cv2.GaussianBlur(cv2.resize(image, (48, 48)), (0, 0), 1.0), id="device"),
    ],
)
def test_another_exposure_or_device_is_called_acquisition(
    model: Any, later: Any, tmp_path: Path, change: Change
) -> None:
    assert verdict(model, read.of_folder(folder_of(tmp_path, later, change), model, None)).name == "acquisition"


def test_another_prevalence_is_called_so_and_estimated(model: Any, tmp_path: Path) -> None:
    new = read.of_folder(folder_of(tmp_path, films(4, 70, normal=0.92)), model, None)
    findings = verdict(model, new)
    assert findings.name == "prevalence"
    assert findings.prevalence is not None
    assert findings.prevalence.low[1] <= 0.08 <= findings.prevalence.high[1]


def test_images_of_the_study_and_second_copies_are_left_out_and_broken_ones_counted(
    model: Any, later: Any, tmp_path: Path
) -> None:
    folder_of(tmp_path, later[:3])
    (tmp_path / "old").mkdir()
    folder_of(tmp_path / "old", films(2, 110, first=2))
    (tmp_path / "copy.png").write_bytes(png(later[0][2]))
    (tmp_path / "smith_anna.png").write_bytes(png(later[0][2])[:60])
    (tmp_path / "notes.txt").write_text("none")
    new = read.of_folder(tmp_path, model, None)
    assert (len(new.sample), new.known, sum(new.unreadable.values())) == (3, 3, 1)
    assert "smith" not in " ".join(sentences.caveats(new))


def test_a_folder_without_images_and_one_that_is_not_there_are_named(model: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no image"):
        read.of_folder(tmp_path, model, None)
    with pytest.raises(UserError, match="does not exist"):
        read.of_folder(tmp_path / "none", model, None)


def test_the_log_of_a_server_is_read_for_this_model_and_these_days(model: Any, later: Any, tmp_path: Path) -> None:
    now = datetime(2026, 11, 26, 12, tzinfo=UTC)
    pixels = np.stack([model.preprocessor.prepare(image[..., None]).image for _, _, image in later])
    answers = model.predict(pixels)

    def rows(time: datetime, digest: str) -> list[served.Served]:
        return [
            served.Served(
                time,
                "models:/lightbox/1",
                digest,
                answers.features[i],
                answers.probabilities[i],
                facts_of(image[..., None]),
            )
            for i, (_, _, image) in enumerate(later)
        ]

    served.write(rows(now, "0" * 64), tmp_path)
    served.write(rows(now, "1" * 64)[:5], tmp_path)
    served.write(rows(now.replace(month=1), "0" * 64), tmp_path)
    new = read.of_server(model, tmp_path, days=30, now=now)
    assert (len(new.sample), new.others) == (50, 5)
    assert verdict(model, new).name == "none"
    text = "".join(path.read_text() for path in tmp_path.iterdir())
    assert not any(name in text for name, _, _ in later)


def test_the_report_says_the_same_everywhere_and_names_nobody(
    model: Any, later: Any, workspace: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("new")
    change = lambda image: (image // 2).astype(np.uint8)  # noqa: E731
    new = read.of_folder(folder_of(place, later, change), model, r"patient\d+")
    findings = verdict(model, new)
    params = Params()
    drawn = report.write(findings, read.reference(model), new, model, params)
    assert {path.name for path in drawn} == {"separation.png", "facts.png", "shares.png"}
    numbers = json.loads(report.NUMBERS.read_text())
    assert numbers["verdict"] == "acquisition"
    assert numbers["whole"]["tests"]["brightness"]["effect"] < -0.5
    texts = [report.PAGE.read_text(), report.MARKDOWN.read_text()]
    texts.append("\n".join(sentences.lines(findings, new, model.classes, params.alpha, params.patients)))
    for text in texts:
        assert "Drift: acquisition" in text
        assert "brightness is lower" in text
        assert "patient0" not in text
