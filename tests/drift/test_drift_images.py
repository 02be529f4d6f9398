"""From files to a verdict: phantom films with planted changes, read as `drift FOLDER` reads them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from stages.download.params import Phantom
from stages.download.phantom.cohort import draw_cohort
from stages.download.phantom.film import draw
from stages.drift import read, report, sentences, server
from stages.drift.params import Params
from stages.drift.statistics.battery import Options
from stages.drift.verdict import Findings, judge
from stages.shared.arrays.preprocessing import Preprocessor, PreprocessSpec
from stages.shared.core.errors import UserError
from stages.shared.core.words import points
from stages.shared.exported import served
from stages.shared.exported.facts import facts_of
from stages.shared.exported.training import FACTS
from stages.shared.images.archive import write_archive

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


def test_one_is_said_in_the_singular(model: Any, later: Any, tmp_path: Path) -> None:
    new = read.of_folder(folder_of(tmp_path, later[:1]), model, r"patient\d+")
    new = replace(new, known=1, others=1, unreadable={"truncated": 1})
    text = " ".join(sentences.lines(verdict(model, new), new, model.classes, 0.05, 20))
    assert "1 new patient;" in text
    assert not re.search(r"\b1 (\w+ )?(patients|images|files|points)\b", text)
    assert [points(share) for share in (0.006, 0.01, 0.02, 0.0)] == ["1 point", "1 point", "2 points", "0 points"]


def test_a_folder_without_images_and_one_that_is_not_there_are_named(model: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no image"):
        read.of_folder(tmp_path, model, None)
    with pytest.raises(UserError, match="does not exist"):
        read.of_folder(tmp_path / "none", model, None)


class Cropping:
    """Stands for an export that crops to the mask; its features are the pixels that it is given."""

    def __init__(self, without_mask: str) -> None:
        steps = [{"CropToMask": {"margin": 0, "without_mask": without_mask}}]
        self.preprocessor = Preprocessor(PreprocessSpec(mode="grey", size=16, steps=steps))
        self.recipe = SimpleNamespace(key="small_cnn-fine_tune-full")
        self.training = SimpleNamespace(sha256=np.array(["known"]))
        self.held_out = SimpleNamespace(sha256=np.array([], str))
        self.needs_mask = without_mask == "refuse"

    def predict(self, images: np.ndarray) -> Any:
        features = images.reshape(len(images), -1).astype(np.float32)
        return SimpleNamespace(features=features, probabilities=np.full((len(images), 2), 0.5, np.float32))


@pytest.mark.parametrize("without_mask", ["refuse", "whole"])
def test_new_images_of_the_study_are_cropped_to_their_masks_as_the_model_learned(
    workspace: Path, without_mask: str
) -> None:
    """The last one has no mask."""
    rng, images, members, rows = np.random.default_rng(0), [], [], []
    for i in range(3):
        image, mask = rng.integers(0, 256, (40, 60), np.uint8), np.zeros((40, 60), np.uint8)
        mask[4:30, 10 + i : 50] = 255
        masks = [{"structure": "lung", "path": f"masks/{i}.png", "invert": False, "threshold": 127}] * (i < 2)
        images.append(image if i == 2 else image[4:30, 10 + i : 50])
        members += [(f"images/{i}.png", png(image)), (f"masks/{i}.png", png(mask))]
        rows.append({"path": f"images/{i}.png", "has_mask": i < 2, "masks": masks, "sha256": str(i)})
    write_archive(workspace / "data" / "raw.zip", members)
    table = pd.DataFrame(rows).assign(patient="p", quarantined=False, label="normal")
    table.to_parquet(workspace / "data" / "manifest.parquet")
    model: Any = Cropping(without_mask)
    if without_mask == "refuse":
        with pytest.raises(UserError, match=r"CropToMask.* 1 of 3 new images have none"):
            read.of_study(model)
        table = table.assign(sha256=["0", "1", "known"])
        table.to_parquet(workspace / "data" / "manifest.parquet")
        images = images[:2]
    expected = [cv2.resize(image, (16, 16), interpolation=cv2.INTER_AREA).ravel() for image in images]
    assert np.array_equal(read.of_study(model).sample.features, np.array(expected))
    with pytest.raises(UserError, match="only be measured on a study with masks"):
        read.of_folder(workspace, model, None)


NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.fixture
def answered(model: Any, later: Any) -> Callable[..., list[served.Served]]:
    """Lines of a server's log about the later films."""
    pixels = np.stack([model.preprocessor.prepare(image[..., None]).image for _, _, image in later])
    answers, facts = model.predict(pixels), [facts_of(image[..., None]) for _, _, image in later]

    def rows(version: str, digest: str, time: datetime = NOW) -> list[served.Served]:
        values = zip(answers.features, answers.probabilities, facts, strict=True)
        return [served.Served(time, version, digest, *value) for value in values]

    return rows


def test_the_log_of_a_server_is_read_for_one_network_and_these_days(
    model: Any, later: Any, answered: Any, tmp_path: Path
) -> None:
    """The network that answered last, whatever its number: with another threshold it has the same features."""
    served.write(answered("models:/chest/2", "0" * 64), tmp_path)
    served.write(answered("models:/chest/2", "0" * 64)[:7], tmp_path)  # sent again
    served.write(answered("models:/chest/1", "0" * 64, NOW.replace(hour=11))[:6], tmp_path)
    served.write(answered("models:/chest/0", "1" * 64, NOW.replace(hour=10))[:5], tmp_path)
    served.write(answered("models:/chest/2", "0" * 64, NOW.replace(month=1)), tmp_path)
    own = server.seen(tmp_path, days=30, now=NOW)
    assert (own.version, own.onnx_sha256, len(own.rows), own.others) == ("models:/chest/2", "0" * 64, 63, 5)
    new = server.images(own)
    assert (len(new.sample), new.known, new.others) == (50, 13, 5)
    assert verdict(model, new).name == "none"
    assert server.seen(tmp_path, days=30, network="1" * 64, now=NOW).version == "models:/chest/0"
    for absent in ({"days": 30, "network": "2" * 64}, {"days": 1, "now": NOW.replace(month=12, day=20)}):
        with pytest.raises(UserError, match="drift.days"):
            server.seen(tmp_path, **{"now": NOW, **absent})
    text = "".join(path.read_text() for path in tmp_path.iterdir())
    assert not any(name in text for name, _, _ in later)


def test_images_of_a_server_are_held_against_the_export_that_answered(
    answered: Any, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registered one comes from the registry, whatever lies in models/onnx; a folder has to have the same network."""

    class Registry:
        def version(self, number: str) -> str:
            return number

        def export(self, number: str) -> Path:
            return Path(f"registry/{number}")

    def read_export(folder: Path) -> Any:
        return SimpleNamespace(folder=folder, certificate=SimpleNamespace(onnx_sha256=server.network_of(folder)))

    def certified(folder: Path, digest: str) -> None:
        folder.mkdir(parents=True)
        (folder / "certificate.json").write_text(json.dumps({"onnx_sha256": digest}))

    def export_of(version: str, digest: str) -> Path:
        own = server.Seen(version, digest, tuple(answered(version, digest)), 30, 0)
        return Path(server.export_of(own).folder)

    monkeypatch.setattr("stages.drift.server.Export.read", read_export)
    monkeypatch.setattr("stages.shared.tracking.aliases.is_empty", lambda: False)
    monkeypatch.setattr("stages.shared.tracking.aliases.open_registry", lambda _: Registry())
    certified(Path("registry/3"), "a" * 64)
    certified(Path("models/onnx/new"), "b" * 64)
    certified(Path("models/onnx/old"), "c" * 64)
    assert export_of("models:/chest/3", "a" * 64) == Path("registry/3")
    with pytest.raises(UserError, match="another network"):
        export_of("models:/chest/3", "b" * 64)
    assert export_of("models/onnx/new", "b" * 64) == Path("models/onnx/new")
    assert export_of("models/onnx/new", "c" * 64) == Path("models/onnx/old")
    with pytest.raises(UserError, match="replaced"):
        export_of("models/onnx/new", "d" * 64)


@pytest.mark.parametrize("expression", [r"person\d+", r"(person\d+)_(\w)", r"(?P<patient>p\w+?)_", r"x(\d)?"])
def test_a_patient_is_found_by_the_rule_of_validate(expression: str) -> None:
    from stages.validate import names
    from stages.validate.params import Params as Validate

    paths = ["images/a/person12_b.png", "images/a/x_1.png", "images/b/x2_person3_c.png"]
    raw = {"classes": {"a": ["*/a/*"], "b": ["*/b/*"]}, "patient": expression, "mask": None}
    files = names.assign(paths, Validate.model_validate(raw), lambda _: b"")
    by_validate = dict(zip(files.images["path"], files.images["patient"].fillna(""), strict=True))
    assert {path: read.patient_of(path, expression) for path in paths} == by_validate


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
