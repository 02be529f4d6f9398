"""The page: what it says of a planted model, of files of every kind, and where there is no model."""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import NearestNeighbors
from streamlit.testing.v1 import AppTest

from stages.serve import heat
from stages.serve.app import examples, many_images, pictures, similar, thresholds, words
from stages.serve.app.command import EXPORT
from stages.serve.app.reader import Reader
from stages.serve.service import Service
from stages.shared.core.files import write_json
from stages.shared.exported.decision import Curve
from stages.shared.exported.heat_maps import Checks
from stages.shared.exported.training import FACTS, Training
from stages.shared.images.decode import decode
from tests.browser import BINARY, Tab, browser
from tests.hospital import SECRETS, dicom

from . import planted_export
from .planted_export import expected, films, png

PAGE = Path(__file__).parents[2] / "stages/serve/app/page.py"
SLOPE = 0.05


def write_training(folder: Path, pictures: list[np.ndarray]) -> None:
    """Each film is of a patient of its own; the feature of the planted model is the mean grey level."""
    n, means = len(pictures), np.array([[film.mean()] for film in pictures])
    p = np.array([expected(film, SLOPE) for film in pictures])
    Training(
        patients=np.array([f"p{i}" for i in range(n)]), sha256=np.array([f"{i:064x}" for i in range(n)]),
        splits=np.array(["train"] * n), labels=np.where(p > 0.5, "sick", "normal"), described=np.arange(n),
        features=means.astype(np.float16), probabilities=np.stack([1 - p, p], axis=1).astype(np.float32),
        facts={name: np.zeros(n) for name in FACTS}, rows=np.arange(n),
    ).write(folder)  # fmt: skip
    planted_export.certify(folder)


def write_study(images: list[np.ndarray]) -> None:
    """In the working directory: what the page reads of the study that the planted model was trained on."""
    Path("data/processed").mkdir(parents=True)
    paths = [f"images/{'sick' if expected(film, SLOPE) > 0.5 else 'normal'}/{i}.png" for i, film in enumerate(images)]
    with zipfile.ZipFile("data/raw.zip", "w") as archive:
        for path, film in zip(paths, images, strict=True):
            archive.writestr(path, png(film))
    np.save("data/processed/images.npy", np.stack(images)[..., None])
    index = pd.DataFrame({"path": paths, "label": [path.split("/")[1] for path in paths], "split": "test"})
    index.to_parquet("data/processed/index.parquet")
    hashes = [f"{i:064x}" for i in range(100, 100 + len(paths))]
    pd.DataFrame({"path": paths, "sha256": hashes}).to_parquet("data/manifest.parquet")
    write_json("data/processed/meta.json", {"fingerprint": "planted"})


@pytest.fixture
def study(workspace, monkeypatch, repository) -> Path:
    """A planted export with its training images, and test images of its study; named as the command line does."""
    folder = planted_export.write(workspace / "models/onnx/one", SLOPE)
    write_training(folder, films(9, seed=1))
    write_study(films(6))
    (workspace / "params.yaml").write_text((repository / "params.yaml").read_text())
    monkeypatch.setenv(EXPORT, str(folder))
    return folder


def open_page() -> AppTest:
    page = AppTest.from_file(str(PAGE), default_timeout=60).run()
    assert not page.exception
    return page


def text_of(page: AppTest) -> str:
    """All that it says, without markup."""
    parts = [element.proto.body for element in page.html if not element.proto.body.startswith("<style")]
    parts += [element.value for kind in (page.caption, page.info, page.error, page.subheader) for element in kind]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", " ".join(parts)))


def upload(page: AppTest, name: str, data: bytes, at: int = 0) -> AppTest:
    page.file_uploader[at].set_value((name, data, "application/octet-stream"))
    return page.run()


def test_an_upload_gets_the_answer_of_the_closed_formula(study):
    page = open_page()
    for film in films(3, seed=4):
        p, said = expected(film, SLOPE), text_of(upload(page, "film.png", png(film)))
        assert f"Probability of sick: {words.percent(p)}" in said
        assert ("Above the threshold" if p > 0.5 else "Below the threshold") in said or 0.4 <= p <= 0.6
        assert "Not for diagnosis." in said
    assert len(page.image) >= 6 + 1 + 6  # examples, the film, similar cases


def test_examples_of_every_kind_are_test_images_that_keep_their_pixels(study):
    from stages.shared.images.archive import Archive

    chosen, archive = examples.choose(), Archive(Path("data/raw.zip"))
    assert {example.kind for example in chosen} == {"PNG", "JPEG", "DICOM"}
    assert {example.label for example in chosen} == {"normal", "sick"}
    for example in chosen:
        original = np.asarray(decode(archive.read(example.path), ""))
        back = np.asarray(decode(example.read(archive), "film.dcm" if example.kind == "DICOM" else "film"))
        allowed = 12 if example.kind == "JPEG" else 0
        assert np.abs(back.astype(int) - original).max() <= allowed
    learned = f"{100:064x}"
    assert len(examples.choose({learned})) == len(chosen) - 1  # the model learned from the first one


def test_an_example_shows_the_label_of_the_study_and_replaces_an_upload(study):
    page = upload(open_page(), "broken.png", b"no image")
    assert "cannot be read" in text_of(page)
    page.button(key="example_1").click().run()
    assert not page.exception
    said = text_of(page)
    assert "cannot be read" not in said
    assert "The study says sick. The model agrees." in said


def test_a_dicom_file_is_read_and_nothing_of_its_patient_is_shown(study):
    page = upload(
        open_page(),
        "MUELLER_Hannelore.dcm",
        dicom(np.full((20, 20), 3000, np.uint16), WindowCenter=2000, WindowWidth=4000),
    )
    said = text_of(page)
    assert "Probability of sick: over 99%" in said or "Probability of sick" in said
    assert not [secret for secret in SECRETS if secret in said]


@pytest.mark.parametrize("data", [b"", b"some text", png(films(1)[0])[:60]], ids=["empty", "text", "truncated"])
def test_a_file_that_is_no_image_is_refused_without_its_name(study, data):
    page = upload(open_page(), "Erika_Mustermann.png", data)
    assert len(page.error) == 1
    assert "cannot be read" in page.error[0].value
    assert "Erika" not in text_of(page)
    assert "Not for diagnosis." in text_of(page)


def test_without_a_model_the_page_says_what_to_run(workspace, monkeypatch, repository):
    (workspace / "params.yaml").write_text((repository / "params.yaml").read_text())
    monkeypatch.setenv(EXPORT, "models/onnx/gone")
    said = text_of(open_page())
    assert "python -m stages export gone" in said
    assert "Not for diagnosis." in said


def test_a_new_version_takes_over_at_the_next_click(study):
    page, film = open_page(), films(1, seed=4)[0]
    before = text_of(upload(page, "film.png", png(film)))
    assert f"Probability of sick: {words.percent(expected(film, SLOPE))}" in before
    shutil.rmtree(study)
    planted_export.write(study, -SLOPE)
    write_training(study, films(9, seed=1))
    after = text_of(page.run())
    assert not page.exception
    assert f"Probability of sick: {words.percent(expected(film, -SLOPE))}" in after


@pytest.mark.parametrize("verdict", ["explains nothing", "follows the model"])
def test_the_verdict_of_the_report_stands_beside_the_heat_map(study, verdict):
    shutil.rmtree(study)
    planted_export.write(study, SLOPE, checks=Checks(verdict=verdict, sentence="What the report found."))
    write_training(study, films(9, seed=1))
    page = open_page()
    warnings = [element.value for element in page.warning]
    assert warnings == (["What the report found."] if verdict == "explains nothing" else [])
    assert ("What the report found." in text_of(page)) != bool(warnings)


def test_a_model_that_needs_masks_is_not_offered_images_without_one(study):
    shutil.rmtree(study)
    planted_export.write(study, SLOPE, steps=["CropToMask"])
    write_training(study, films(9, seed=1))
    page = open_page()
    assert "it needs a mask with each image, and this page takes none" in text_of(page)
    assert not page.file_uploader


def test_the_threshold_slider_shows_what_it_implies(study):
    page = open_page()
    slider = next(slider for slider in page.slider if slider.label.startswith("Call sick"))
    assert slider.value == 50
    slider.set_value(0)
    assert "This image above" in text_of(page.run())


def test_many_images_become_a_table_that_says_what_could_not_be_read(study):
    reader = Reader.of(Service.open(study))
    images = films(3, seed=5)
    files = [("=cmd.png", png(images[0])), ("b.png", png(images[1])), ("c.png", b"no image")]
    rows = list(many_images.table(reader, files))
    assert [row["sick"] for row in rows[:2]] == pytest.approx([expected(film, SLOPE) for film in images[:2]], abs=1e-5)
    assert rows[2]["answer"] is None
    assert "cannot be read" in rows[2]["note"]
    table = pd.read_csv(io.StringIO(many_images.csv(reader, pd.DataFrame(rows))))
    assert list(table["file"]) == ["'=cmd.png", "b.png", "c.png"]  # no formula in a spreadsheet
    assert set(table["model"]) == {"planted-by-hand"}


def test_the_batch_tab_reads_the_uploads(study):
    page = open_page()
    page.file_uploader[1].set_value([(f"{i}.png", png(film), "image/png") for i, film in enumerate(films(3))])
    page.run()
    assert not page.exception
    assert "3 images" in text_of(page)
    assert len(page.dataframe[0].value) == 3
    assert page.get("download_button")


def test_counts_at_a_threshold_are_those_of_the_images():
    rng = np.random.default_rng(0)
    score, positive = rng.random(200), rng.random(200) < 0.4
    grid = np.arange(101) / 100
    curve = Curve(
        positives=int(positive.sum()), negatives=int((~positive).sum()), threshold=grid.tolist(),
        sensitivity=[float((score[positive] > t).mean()) for t in grid],
        specificity=[float((score[~positive] <= t).mean()) for t in grid],
    )  # fmt: skip
    for threshold in (0.0, 0.13, 0.5, 0.99, 1.0):
        rates = thresholds.at(curve, threshold)
        assert rates.sensitivity.hits == (positive & (score > threshold)).sum()
        assert rates.specificity.hits == (~positive & (score <= threshold)).sum()
    assert thresholds.at(curve, -0.1).sensitivity.share == 1
    above, below = thresholds.bins(curve, 20)
    edges = np.linspace(0, 1, 21)
    assert above == np.histogram(score[positive], edges)[0].tolist()
    assert below == np.histogram(score[~positive], edges)[0].tolist()
    near = thresholds.near(curve, 0.5)
    inside = (score > 0.4) & (score <= 0.6)
    assert (near.hits, near.images) == ((positive & inside).sum(), inside.sum())


def test_similar_cases_are_the_nearest_by_cosine_one_of_each_patient():
    rng = np.random.default_rng(0)
    training, own = rng.normal(size=(40, 5)), rng.normal(size=5)
    patients = np.repeat(np.arange(20), 2)
    found = similar.nearest(own, similar.unit(training), patients, 6)
    order = NearestNeighbors(n_neighbors=40, metric="cosine").fit(training).kneighbors([own])[1][0]
    first = pd.Series(patients[order], index=order).drop_duplicates().index[:6]
    assert [near.row for near in found] == list(first)
    assert found[0].cosine == pytest.approx(
        training[first[0]] @ own / np.linalg.norm(training[first[0]]) / np.linalg.norm(own), abs=1e-5
    )


def test_heat_lies_where_the_bright_half_is_and_clear_film_stays(study):
    reader = Reader.of(Service.open(study))
    film = np.full((16, 16), 60, np.uint8)
    film[:, 8:] = 250
    reading = reader.read(png(film))
    own = reader.heat(reading, 1)
    assert own[:, 12:].min() > 0.9
    assert own[:, :4].max() < 0.1
    drawn = heat.overlay(reading.film, own, 1.0)
    assert (drawn[:, :3] == film[:, :3, None]).all()
    assert (heat.overlay(reading.film, own, 0.0) == film[..., None]).all()


def test_no_probability_is_said_to_be_certain():
    said = {words.percent(p) for p in (0.0, 1e-9, 0.999999, 1.0)}
    assert said == {"under 1%", "over 99%"}
    assert "width:100.00%" in pictures.gauge(1.0, None)


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """`python -m stages app` in the working directory; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "stages", "app", "--port", str(port), "--folder", str(folder)]
    app = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(PAGE.parents[3])}, stderr=subprocess.PIPE)
    try:
        end = time.monotonic() + 120
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert app.poll() is None, app.stderr and app.stderr.read()
            assert time.monotonic() < end
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        app.terminate()
        app.wait(20)


def visit(tab: Tab, address: str, width: int, dark: bool) -> None:
    """Until the whole page stands."""
    tab.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    scheme = "dark" if dark else "light"
    tab.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    tab.send("Page.navigate", url=address)
    end = time.monotonic() + 90
    while not tab.run("['.lb .scores', '.notice'].every(own => document.querySelector(own))"):
        assert time.monotonic() < end, tab.complaints
        time.sleep(0.3)


@pytest.mark.skipif(not BINARY, reason="no Chromium here")
def test_in_a_browser_nothing_overflows_or_comes_from_the_network(study, tmp_path):
    with running(study) as address, browser(tmp_path / "profile") as tab:
        for width, dark in ((390, False), (1400, True)):
            visit(tab, address, width, dark)
            wide = "[document.documentElement, document.querySelector('[data-testid=stMain]')]"
            assert tab.run(f"{wide}.map(e => e.scrollWidth - e.clientWidth)") == [0, 0]
            seen = tab.run("getComputedStyle(document.querySelector('.stApp')).backgroundColor.match(/\\d+/g)[0] * 1")
            assert (seen < 60) == dark
            foot = tab.run(
                "(r => r.top > 0 && r.bottom <= innerHeight)(document.querySelector('.notice').getBoundingClientRect())"
            )
            assert foot  # not for diagnosis: in sight without scrolling
        loaded = tab.run("performance.getEntriesByType('resource').map(entry => entry.name)")
        assert [name for name in loaded if not name.startswith((address, "data:", "blob:"))] == []
        assert tab.complaints == []
