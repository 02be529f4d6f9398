"""validate from archive to manifest: planted faults are found, named and set aside, and nothing else is."""

from __future__ import annotations

import errno
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, UnidentifiedImageError

from stages.download import Params as Download
from stages.download import run as download
from stages.shared.core.errors import UserError
from stages.shared.core.job import Job
from stages.shared.core.paths import MANIFEST, RAW, VALIDATION
from stages.shared.core.settings import parse
from stages.shared.images.archive import Archive, write_archive
from stages.validate import Params, run
from stages.validate.stage import COLUMNS, phantom

BASE = {
    "classes": {"normal": "images/NORMAL/*", "pneumonia": "images/PNEUMONIA/*"},
    "patient": r"patient\d+",
    "mask": "masks/lung/{stem}.png",
    "limits": {"min_images_per_class": 4},
}
DOCS = VALIDATION.parent / "data_docs"


def validate(**values: object) -> pd.DataFrame:
    result = run(parse(Params, {**BASE, **values}, "validate"), Job())
    manifest = pd.read_parquet(MANIFEST)
    assert list(result.datasets["raw"]["path"]) == list(manifest["path"])
    return manifest.set_index("path", drop=False)


def summary() -> dict:
    return json.loads(VALIDATION.read_text(encoding="utf-8"))


def failed() -> dict[str, list[str]]:
    return {c["name"]: c["examples"] for c in summary()["checks"] if not c["success"]}


@pytest.fixture
def faulty(films, make_film, make_bytes) -> dict[str, bytes]:
    """The twelve patients and one fault of each kind."""
    folder = "images/PNEUMONIA/"
    clash = make_bytes(make_film(900))
    tender = np.clip(make_film(901) * 1.02 + 2, 0, 255).astype(np.uint8)
    extra = {
        folder + "patient0020_haze_1.png": b"",
        folder + "patient0021_haze_1.png": make_bytes(make_film(902))[:400],
        folder + "patient0022_haze_1.png": make_bytes(np.full((64, 64), 12, np.uint8)),
        folder + "patient0023_haze_1.png": make_bytes(make_film(903)[:20, :20]),
        folder + "patient0024_haze_1.png": make_bytes(make_film(904, (300, 40))),
        folder + "nobody_haze_1.png": make_bytes(make_film(905)),
        folder + "patient0025_haze_1.png": clash,
        "images/NORMAL/patient0025_normal_9.png": clash,
        folder + "patient0026_haze_1.png": make_bytes(make_film(901)),
        folder + "patient0027_haze_1.png": make_bytes(tender, "JPEG", quality=88),
        folder + "patient0006_haze_3.png": films[folder + "patient0006_haze_1.png"],  # the same patient: no failure
        "films/patient0028_haze_1.png": make_bytes(make_film(906)),
        "images/NORMAL/patient0006_normal_4.png": make_bytes(make_film(907)),  # a patient with two labels: a warning
        "notes.txt": b"about this set",
    }
    masks = {mask_of(n): make_bytes(half_white(data)) for n, data in extra.items() if mask_of(n)}
    masks[mask_of(folder + "patient0006_haze_3.png")] = b"no mask"
    return {**films, **extra, **masks}


def half_white(image: bytes) -> np.ndarray:
    """A mask of the size of an image, where that can be read."""
    try:
        width, height = Image.open(io.BytesIO(image)).size
    except UnidentifiedImageError:
        width, height = 64, 72
    return np.where(np.arange(height)[:, None] < height / 2, 255, 0).astype(np.uint8).repeat(width, axis=1)


def mask_of(name: str) -> str:
    match = re.fullmatch(r"images/\w+/(.*\.png)", name)
    return f"masks/lung/{match[1]}" if match else ""


def test_a_clean_set_passes_and_its_manifest_says_what_is_there(pack, films):
    pack(films)
    table = validate()
    assert tuple(table.columns) == COLUMNS
    assert table["path"].is_monotonic_increasing
    assert len(table) == 24
    assert list(table["label"].cat.categories) == ["normal", "pneumonia"]
    assert not table["label"].cat.ordered
    assert table["patient"].nunique() == 12
    assert table["cluster"].is_unique
    assert table["has_mask"].all()
    assert [masks[0]["path"] for masks in table["masks"]] == [
        "masks/lung/" + path.split("/")[-1] for path in table["path"]
    ]
    assert not table["quarantined"].any()
    assert table["reason"].isna().all()
    assert (table["width"] == 64).all()
    assert (table["height"] == 72).all()
    assert summary()["success"]
    assert summary()["classes"] == {"normal": 12, "pneumonia": 12}


def test_the_order_of_the_classes_is_kept(pack, films):
    pack(films)
    table = validate(classes=dict(reversed(BASE["classes"].items())))
    assert list(table["label"].cat.categories) == ["pneumonia", "normal"]


def test_quarantine_sets_aside_exactly_the_faulty_rows_with_the_reason(pack, faulty, capsys):
    pack(faulty)
    table = validate(on_failure="quarantine")
    aside = table[table["quarantined"]]
    expected = {
        "films/patient0028_haze_1.png": "no label",
        "images/NORMAL/patient0025_normal_9.png": "another label: images/PNEUMONIA/patient0025_haze_1.png",
        "images/PNEUMONIA/nobody_haze_1.png": "no patient",
        "images/PNEUMONIA/patient0006_haze_3.png": "unreadable mask",
        "images/PNEUMONIA/patient0020_haze_1.png": "0 bytes",
        "images/PNEUMONIA/patient0021_haze_1.png": "truncated",
        "images/PNEUMONIA/patient0022_haze_1.png": "blank",
        "images/PNEUMONIA/patient0023_haze_1.png": "too small: 20×20",
        "images/PNEUMONIA/patient0024_haze_1.png": "aspect: 40×300",
        "images/PNEUMONIA/patient0025_haze_1.png": "another label: images/NORMAL/patient0025_normal_9.png",
        "images/PNEUMONIA/patient0026_haze_1.png": "another patient: images/PNEUMONIA/patient0027_haze_1.png",
        "images/PNEUMONIA/patient0027_haze_1.png": "another patient: images/PNEUMONIA/patient0026_haze_1.png",
    }
    assert aside["path"].tolist() == list(expected)
    for path, words in expected.items():
        assert words in aside["reason"][path]
    assert table["reason"].notna().equals(table["quarantined"])
    assert not table["readable"]["images/PNEUMONIA/patient0020_haze_1.png"]
    same = table["cluster"][["images/PNEUMONIA/patient0006_haze_1.png", "images/PNEUMONIA/patient0006_haze_3.png"]]
    assert same.nunique() == 1
    assert failed()["one_label_per_patient"]
    assert failed()["no_other_files"] == ["notes.txt"]
    assert f"validate: {len(expected)} of" in capsys.readouterr().err
    assert summary()["quarantined"] == len(expected)
    assert summary()["success"], "what is kept passes"


def test_stop_names_each_failed_check_with_files_and_the_remedy_after_writing_the_reports(pack, faulty):
    pack(faulty)
    with pytest.raises(UserError) as caught:
        validate()
    message = str(caught.value)
    assert "readable: 2 images: images/PNEUMONIA/patient0020_haze_1.png" in message
    assert "has_patient: 1 image: images/PNEUMONIA/nobody_haze_1.png" in message
    assert "on_failure to quarantine" in message
    assert "one_label_per_patient" not in message, "warnings do not stop"
    assert not MANIFEST.exists()
    assert not summary()["success"]
    page = (DOCS / "index.html").read_text(encoding="utf-8")
    assert "Critical checks failed" in page
    reason = "too small: 20×20 pixels, under 28"
    assert f'<td class="path">images/PNEUMONIA/patient0023_haze_1.png</td><td>{reason}' in page
    assert "images/PNEUMONIA/patient0020_haze_1.png" in page
    for link in re.findall(r'href="([^"]+)"', page):
        assert (DOCS / link).is_file()
    results = next(DOCS.glob("validations/images/**/*.html")).read_text(encoding="utf-8")
    assert "No image is blank" in results
    assert "patient0022_haze_1.png" in results, "Great Expectations' own page names the file too"


def test_another_severity_lets_a_failure_pass_as_a_warning(pack, films, make_bytes, make_film):
    pack({**films, "images/NORMAL/patient0003_normal_7.png": make_bytes(make_film(44, (300, 40)))})
    table = validate(severity={"max_aspect": "warning"})
    assert not table["quarantined"].any()
    entry = next(c for c in summary()["checks"] if c["name"] == "max_aspect")
    assert (entry["success"], entry["severity"], entry["failed"]) == (False, "warning", 1)
    assert summary()["success"]


def test_a_class_with_too_few_images_left_stops_even_under_quarantine(pack, films):
    broken = {n: b"" if n.startswith("images/PNEUMONIA") and "patient0011" not in n else d for n, d in films.items()}
    pack(broken)
    with pytest.raises(
        UserError, match="min_images_per_class/pneumonia: Class pneumonia keeps at least 4 images; it keeps 2"
    ):
        validate(on_failure="quarantine")


def test_without_patients_duplicates_cluster_and_a_warning_says_so(pack, films, capsys):
    original = "images/NORMAL/patient0001_normal_1.png"
    pack(
        {
            **films,
            "images/NORMAL/copy.png": films[original],
            "masks/lung/copy.png": films["masks/lung/patient0001_normal_1.png"],
        }
    )
    table = validate(patient=None)
    assert "patients are unknown" in capsys.readouterr().err
    assert summary()["patients_known"] is False
    assert "0 set aside" in (DOCS / "index.html").read_text(encoding="utf-8")
    assert (table["patient"] == table["path"]).all()
    assert table["cluster"][original] == table["cluster"]["images/NORMAL/copy.png"]
    assert not table["quarantined"].any()


def test_what_the_data_say_of_themselves_is_written_down(pack, films):
    pack({**films, "phantom.json": b'{"seed": 0, "findings": ["normal", "haze"], "faults": {}}'})
    validate(patient=None, ignore=["phantom.json"])
    assert summary()["phantom"] == {"findings": ["normal", "haze"]}
    assert summary()["patients_known"] is False
    assert "0 set aside" in (DOCS / "index.html").read_text(encoding="utf-8")


def test_files_outside_the_provided_split_are_named(pack, films):
    pack(films)
    with pytest.raises(UserError, match="in_provided_split: 2 images: images/NORMAL/patient0000"):
        validate(provided_split={"train": "**/patient000[1-9]*", "test": "**/patient001*"})


def test_a_patient_pattern_for_another_set_is_doubted(pack, films, capsys):
    pack(films)
    validate(patient=r"patient00(?:0\d|10)", on_failure="quarantine")
    assert capsys.readouterr().err.count("validate.patient") == 0, "2 of 24 images without a patient: a fault of theirs"
    validate(patient=r"patient000[1-9]", on_failure="quarantine", limits={"min_images_per_class": 1})
    assert "finds no patient in 6 of 24 names, such as images/NORMAL/patient0000" in capsys.readouterr().err


def test_names_of_files_and_classes_are_never_markup_in_great_expectations_pages(pack, films, make_bytes):
    script = "<script>alert(1)</script>"
    folder = "images/PNEUMONIA/"
    pack({**films, f"{folder}patient0099_{script}.png": b"", f"notes{script}.txt": b"a"})
    classes = {script: "images/NORMAL/*", "pneumonia": "images/PNEUMONIA/*"}
    table = validate(classes=classes, on_failure="quarantine", mask=None, ignore="masks/**")
    assert table["path"][table["quarantined"]].tolist() == [f"{folder}patient0099_{script}.png"]
    pages = {page: page.read_text(encoding="utf-8") for page in DOCS.rglob("*.html")}
    assert not [page for page, text in pages.items() if script in text]
    assert sum("&lt;script&gt;alert(1)" in text for text in pages.values()) >= 5
    assert failed()["no_other_files"] == [f"notes{script}.txt"]


def test_every_duplicate_planted_in_the_phantom_is_found_crops_and_resizes_too(workplace: Path):
    """And no film of one patient is taken for another patient's."""
    settings = {"patients": 50, "images_per_patient": [1, 2], "faults": {"crops": 6}}
    download(parse(Download, {"source": "phantom", "phantom": settings}, "download"), Job())
    planted = json.loads(Archive(RAW).read("phantom.json"))["faults"]
    pairs = [pair for kind in ("exact_duplicates", "near_duplicates", "crops") for pair in planted[kind]]
    table = validate(ignore=["masks/lesion/**", "phantom.json"], on_failure="quarantine")
    clusters = table.groupby("cluster")["path"].agg(set)[table.groupby("cluster")["patient"].nunique() > 1]
    assert sorted(map(sorted, clusters)) == sorted(sorted(pair.values()) for pair in pairs)
    assert len(pairs) == 12


@pytest.mark.parametrize("content", [b"not JSON", b"[1]", b'{"seed": 0}'])
def test_a_file_that_happens_to_be_called_phantom_json_makes_no_phantom(workplace: Path, content: bytes):
    write_archive(RAW, [("phantom.json", content)])
    assert phantom(Archive(RAW)) is None


def test_two_runs_write_the_same_bytes(pack, faulty):
    pack(faulty)
    validate(on_failure="quarantine")
    first = MANIFEST.read_bytes(), VALIDATION.read_bytes()
    validate(on_failure="quarantine")
    assert (MANIFEST.read_bytes(), VALIDATION.read_bytes()) == first


def test_workers_see_what_one_process_sees(pack, films, monkeypatch: pytest.MonkeyPatch):
    pack(films)
    alone = validate()
    monkeypatch.setattr("stages.validate.inspection.WORTH_A_WORKER", 8)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    pd.testing.assert_frame_equal(validate(), alone)


def test_an_unreadable_archive_is_one_clear_sentence(workplace: Path):
    with pytest.raises(UserError, match=r"data/raw.zip: missing.*dvc repro download"):
        validate()
    RAW.parent.mkdir()
    RAW.write_bytes(b"PK not really a zip")
    with pytest.raises(UserError, match=r"data/raw.zip: not a readable zip"):
        validate()


def test_a_full_disk_is_reported_in_words_and_leaves_nothing_half_written(pack, films, monkeypatch: pytest.MonkeyPatch):
    def full(self: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    pack(films)
    monkeypatch.setattr("stages.validate.suite.Suites.write_docs", full)
    with pytest.raises(UserError, match="data_docs: the disk is full"):
        validate()
    assert not DOCS.exists()
    assert not MANIFEST.exists()


def test_importing_the_stage_is_light():
    code = (
        "import sys; import stages.validate, stages.preprocess;"
        "heavy = {'numpy', 'pandas', 'PIL', 'cv2', 'great_expectations', 'albumentations', 'torch'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
