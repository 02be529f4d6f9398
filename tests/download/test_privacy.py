"""Under pseudonyms nothing that is written or shown says who a patient is, and the images and the split stay the same."""

from __future__ import annotations

import csv
import errno
import io
import re
import stat
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from stages.download import Params, privacy
from stages.preprocess import Params as Preprocess
from stages.preprocess import run as preprocess
from stages.shared.core.errors import UserError
from stages.shared.core.job import Job
from stages.shared.core.paths import PROCESSED, RAW
from stages.shared.core.settings import parse
from stages.shared.images.archive import Archive
from stages.shared.images.decode import UnreadableImage, decode
from stages.validate import Params as Validate
from stages.validate import run as validate

from ..hospital import NAMES, SETTINGS, dicom, film, hand_out, plant, refuse_secrets
from .conftest import Produce, png

KEY = "a key of at least sixteen characters"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(privacy.VARIABLE, KEY)


@pytest.fixture
def hospital(tmp_path: Path, workdir: Path) -> Path:
    (workdir / "expectations.yaml").touch()
    return hand_out(tmp_path / "hospital")


def hidden(folder: Path, **pseudonyms: object) -> dict[str, object]:
    return {"source": "folder", "privacy": "pseudonymise", "folder": {"path": str(folder)},
            "pseudonyms": {"names": "", **pseudonyms}}  # fmt: skip


def test_no_output_of_the_first_stages_says_who_a_patient_is(
    produce: Produce, hospital: Path, workdir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    produce(**hidden(hospital, names=NAMES, columns=["Befund", "Alter"]))
    validate(parse(Validate, SETTINGS, "validate"), Job())
    preprocess(parse(Preprocess, {"size": 16, "steps": [], "split": {"folds": 2}}, "preprocess"), Job())
    with pytest.raises(UserError) as caught:
        validate(parse(Validate, {**SETTINGS, "limits": {"min_side": 99}}, "validate"), Job())
    refuse_secrets(str(caught.value), "message")
    shown = capfd.readouterr()
    refuse_secrets(shown.out + shown.err, "output")
    archive = Archive(RAW)
    for name in archive.names():
        refuse_secrets(name, "name")
        refuse_secrets(archive.read(name), name)
    written = [path for path in workdir.rglob("*") if path.is_file() and ".lightbox" not in path.parts]
    assert {path.suffix for path in written} >= {".parquet", ".html", ".json", ".zip", ".npy", ".png"}
    for path in written:
        refuse_secrets(path.read_bytes(), path)
        refuse_secrets(str(path.relative_to(workdir)), path)
    index = pd.read_parquet(PROCESSED / "index.parquet")
    refuse_secrets(index.to_csv(), "index")
    assert index["patient"].nunique() == 12
    assert index.groupby("patient").size().tolist() == [2] * 12
    assert set(index["meta_age"]) == set(range(40, 52))
    assert index[["meta_sex", "meta_view", "meta_manufacturer"]].drop_duplicates().to_numpy().tolist() == [
        ["F", "PA", "Agfa"]
    ]
    assert index["path"].str.fullmatch(r"patient-[0-9a-f]{16}/study-[0-9a-f]{16}_[01]\.dcm").all()


def test_whoever_has_the_files_finds_an_image_by_the_private_list(
    produce: Produce, hospital: Path, workdir: Path
) -> None:
    _, archive = produce(**hidden(hospital, names=NAMES, columns=["Befund"]))
    path = workdir / privacy.NAMES
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["archive"] for row in rows if row["archive"].endswith(".dcm")] == archive.names()[:-1]
    assert {row["source"] for row in rows} == {p.relative_to(hospital).as_posix() for p in hospital.rglob("*.*")}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_another_key_gives_other_names_and_the_same_split(
    produce: Produce, hospital: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits, names = [], []
    settings = hidden(hospital, names=NAMES, columns=["Befund", "Alter"])
    produce(**settings)
    first = RAW.read_bytes()
    for own in (KEY, "another key of sixteen or more"):
        monkeypatch.setenv(privacy.VARIABLE, own)
        _, archive = produce(**settings)
        names.append(set(archive.names()[:-1]))
        assert (RAW.read_bytes() == first) == (own == KEY)
        validate(parse(Validate, SETTINGS, "validate"), Job())
        preprocess(parse(Preprocess, {"size": 16, "steps": [], "split": {"folds": 2}}, "preprocess"), Job())
        index = pd.read_parquet(PROCESSED / "index.parquet")
        splits.append(index[["label", "group", "split", "fold", "meta_age"]])
    assert not names[0] & names[1]
    pd.testing.assert_frame_equal(*splits)


def test_the_key_is_made_once_and_is_readable_by_its_owner_alone(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(privacy.VARIABLE)
    first = privacy.pseudonyms("").of("4711")
    assert privacy.pseudonyms("").of("4711") == first
    assert stat.S_IMODE((workdir / privacy.KEY).stat().st_mode) == 0o600
    (workdir / privacy.KEY).unlink()
    assert privacy.pseudonyms("").of("4711") != first


@pytest.mark.parametrize("short", ["", "short"])
def test_a_key_that_can_be_guessed_is_refused(short: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(privacy.VARIABLE, short)
    with pytest.raises(UserError, match=f"{privacy.VARIABLE}: the key has {len(short)} characters; it needs 16"):
        privacy.pseudonyms("")


def hashed(value: str) -> str:
    return privacy.pseudonyms("").of(value, "").lstrip("-")


@pytest.mark.parametrize(("expression", "name", "expected"), [
    ("P\\d+", "sick/P12/P12_1.png", "sick/id-{P12}/id-{P12}_1.png"),
    ("P(\\d+)", "sick/P12_1.png", "sick/Pid-{12}_1.png"),
    ("(?P<patient>[A-Z]+)_(?P<born>\\d{8})", "a/MEIER_19530412.png", "a/patient-{MEIER}_born-{19530412}.png"),
    ("((A)B)", "AB.png", "id-{AB}.png"),
    ("[^/]+$", "sick/MEIER.dcm", "sick/id-{MEIER}.dcm"),
    ("[^/]+$", "sick/1.2.840", "sick/id-{1.2.840}"),
    ("Müller", "Müller.png", "id-{Müller}.png"),
    ("", "sick/P12.png", "sick/P12.png"),
])  # fmt: skip
def test_each_match_in_a_path_becomes_a_pseudonym(expression: str, name: str, expected: str) -> None:
    expected = re.sub(r"\{(.*?)\}", lambda match: hashed(match[1]), expected)
    assert privacy.pseudonyms(expression).path(name) == expected


def test_composed_and_decomposed_letters_are_one_patient() -> None:
    assert hashed("Mu\u0308ller") == hashed("M\u00fcller ")


def failing(produce: Produce, folder: Path, **pseudonyms: object) -> tuple[str, str]:
    """What is shown of an error, and what stands in the private file."""
    with pytest.raises(UserError) as caught:
        produce(**hidden(folder, **pseudonyms))
    path = privacy.MESSAGE
    return str(caught.value), path.read_text() if path.exists() else ""


Fault = Callable[[Path], object]
FAULTS: dict[str, tuple[Fault, str, str]] = {
    "twice": (lambda f: plant(f, {"MUELLER\u0301.png": png(), "MUELLE\u0154.png": png()}), "", "twice"),
    "a link to nothing": (lambda f: (f / "MUELLER.png").symlink_to("nowhere"), "", "a link to nothing"),
    "the header's id in the name": (lambda f: plant(f, {"a_4711-88.dcm": dicom(film())}), "", "still has the patient's"),
    "two of one name": (lambda f: plant(f, {"(MUELLER).png": png(), f"(id-{hashed('MUELLER')}).png": png(1)}),
                        r"(?<=\()\w+(?=\))|$", "would both be called"),
    "a table that is none": (lambda f: plant(f, {"MUELLER.csv": b"a,b\nMUELLER\n"}), "", "line 2 has 1 cells"),
    "an id of the table in a name": (
        lambda f: plant(f, {"4711-88_1.png": png(), "t.csv": b"file,id\n4711-88_1,4711-88\n"}), "", "column 'id' has '4711-88'"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_names_the_file_in_private_alone(fault: str, produce: Produce, tmp_path: Path, workdir: Path) -> None:
    plant_fault, names, reason = FAULTS[fault]
    folder = plant(tmp_path / "own", {"good.png": png(9)})
    plant_fault(folder)
    shown, private = failing(produce, folder, names=names, columns=["label"])
    assert "It is in .lightbox/download_error.txt" in shown
    refuse_secrets(shown, "message")
    assert reason in private
    assert stat.S_IMODE((workdir / privacy.MESSAGE).stat().st_mode) == 0o600
    assert not RAW.exists()


def test_a_path_without_a_match_stops_and_is_counted(produce: Produce, tmp_path: Path) -> None:
    shown, private = failing(
        produce, plant(tmp_path / "own", {"P1/a.png": png(), "MUELLER/b.png": png(1)}), names=r"P\d"
    )
    assert r"'P\\d' matches nothing in 1 of 2 paths" in shown
    refuse_secrets(shown, "message")
    assert private == ""
    assert not RAW.exists()


def test_an_expression_that_takes_a_slash_is_refused(produce: Produce, tmp_path: Path) -> None:
    shown, _ = failing(produce, plant(tmp_path / "own", {"sick/MUELLER/b.png": png(1)}), names="sick/.*")
    assert "takes a slash" in shown


def test_tables_are_left_out_unless_params_say_what_identifies_nobody(
    produce: Produce, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = plant(tmp_path / "own", {"a.png": png(), "list.csv": b"file,who\na.png,MUELLER\n", "x.MUELLER": b"x"})
    assert produce(**hidden(folder))[1].names() == ["a.png"]
    assert "1 images; left out 2 other files.\n" in capfd.readouterr().err
    archive = produce(**hidden(folder, columns=["label"]))[1]
    assert archive.read("list.csv").decode() == f"file,who\na.png,id-{hashed('MUELLER')}\n"


def test_a_parquet_table_stays_one(produce: Produce, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    pd.DataFrame({"who": ["MUELLER", None], "file": ["P1", "P2"], "target": [0, 1]}).to_parquet(buffer)
    folder = plant(tmp_path / "own", {"P1.png": png(), "P2.png": png(1), "t.parquet": buffer.getvalue()})
    table = pd.read_parquet(
        io.BytesIO(produce(**hidden(folder, names=r"P\d", columns=["target"]))[1].read("t.parquet"))
    )
    assert table["target"].tolist() == ["0", "1"]
    assert table["file"].tolist() == [f"id-{hashed('P1')}.png", f"id-{hashed('P2')}.png"]
    assert table["who"].fillna("none").tolist() == [f"id-{hashed('MUELLER')}", "none"]


WINDOW = {
    "WindowCenter": 2000,
    "WindowWidth": 700,
    "VOILUTFunction": "SIGMOID",
    "RescaleSlope": 2,
    "RescaleIntercept": -9,
}


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
@pytest.mark.parametrize(
    "tags", [{}, WINDOW, {"PhotometricInterpretation": "MONOCHROME1", "PixelPaddingValue": 2000}, "lut"]
)
def test_a_cleaned_header_shows_the_same_picture(
    syntax: str, tags: dict | str, produce: Produce, tmp_path: Path
) -> None:
    if tags == "lut":
        table = Dataset()
        table.add_new(0x00283002, "US", [4096, 0, 12])
        table.LUTExplanation = "MUELLER"
        table.add_new(0x00283006, "OW", np.arange(4096)[::-1].astype("<u2").tobytes())
        tags = {"VOILUTSequence": Sequence([table])}
    data = dicom(film(3), syntax, **tags)
    cleaned = produce(**hidden(plant(tmp_path / "own", {"IM0001": data})))[1].read("IM0001")
    refuse_secrets(cleaned, "header")
    assert np.array_equal(np.asarray(decode(data, "IM0001")), np.asarray(decode(cleaned, "IM0001")))
    header = dcmread(io.BytesIO(cleaned))
    assert header.PatientID == f"id-{hashed('4711-88')}"
    assert (header.PatientAge, header.PatientSex, header.ViewPosition, header.Manufacturer) == (
        "070Y",
        "F",
        "PA",
        "Agfa",
    )
    assert header.SOPInstanceUID.startswith("2.25.")


def test_values_that_do_not_fit_their_field_neither_stay_nor_are_shown(
    produce: Produce, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """pydicom warns of some of them, with the value."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = dicom(film(), PatientAge="070 MUELLER", PatientSex="Hannelore", SOPInstanceUID="1.2.MUELLER")
    caplog.clear()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        archive = produce(**hidden(plant(tmp_path / "own", {"a.dcm": data})))[1]
    assert warned == []
    assert caplog.text == ""
    refuse_secrets(archive.read("a.dcm"), "header")
    shown = capfd.readouterr()
    refuse_secrets(shown.out + shown.err, "output")
    assert np.array_equal(np.asarray(decode(data, "a.dcm")), np.asarray(decode(archive.read("a.dcm"), "a.dcm")))


def test_a_header_that_cannot_be_read_does_not_pass(
    produce: Produce, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torn = dicom(film())[:200]
    folder = plant(tmp_path / "own", {"a.dcm": b"no DICOM: MUELLER", "b.dcm": torn, "c": torn, "d.png": png()})
    _, archive = produce(**hidden(folder))
    assert archive.names() == ["a.dcm", "b.dcm", "c", "d.png"]
    for name in ("a.dcm", "b.dcm", "c"):
        refuse_secrets(archive.read(name), name)
        with pytest.raises(UnreadableImage, match="DICOM without pixel data"):
            decode(archive.read(name), name)
    assert "3 DICOM files cannot be read. Their headers may name patients" in capfd.readouterr().err


def test_public_images_keep_their_headers_and_a_message_says_so(
    produce: Produce, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = dicom(film())
    folder = plant(tmp_path / "own", {"a.dcm": data})
    assert produce(source="folder", folder={"path": str(folder)})[1].read("a.dcm") == data
    assert "To remove personal data, set download.privacy to pseudonymise" in capfd.readouterr().err


@pytest.mark.parametrize("source", ["folder", "kaggle"])
def test_own_images_need_a_decision_before_any_work(source: str) -> None:
    with pytest.raises(UserError, match=r"download: pseudonyms.names: missing.*'P\\d\+'.*privacy: keep"):
        parse(Params, {"source": source, "kaggle": {"dataset": "a/b", "version": 1}}, "download")
    assert parse(Params, {"source": "phantom"}, "download").privacy == "pseudonymise"


FRAMES = np.stack([film(seed) for seed in range(4)])


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
@pytest.mark.parametrize("mode", ["keep", "pseudonymise"])
@pytest.mark.parametrize(("rule", "frames"), [
    ("first", {"cine.dcm": 0}), ("middle", {"cine.dcm": 2}),
    ("all", {f"cine_frame{frame + 1:04d}.dcm": frame for frame in range(4)}),
])  # fmt: skip
def test_the_frames_that_are_asked_for_become_images(
    rule: str, frames: dict[str, int], mode: str, syntax: str, produce: Produce, tmp_path: Path
) -> None:
    folder = plant(tmp_path / "own", {"cine.dcm": dicom(FRAMES, syntax), "one.dcm": dicom(FRAMES[1], syntax)})
    _, archive = produce(**hidden(folder) | {"privacy": mode, "frames": rule})
    assert archive.names() == [*frames, "one.dcm"]
    for name, frame in [*frames.items(), ("one.dcm", 1)]:
        expected = decode(dicom(FRAMES[frame]), "x.dcm")
        assert np.array_equal(np.asarray(decode(archive.read(name), name)), np.asarray(expected))


def test_a_table_says_what_each_frame_shows(produce: Produce, tmp_path: Path) -> None:
    rows = [f"a/cine_frame{frame:04d}.dcm,{'sick' if frame == 3 else 'normal'}" for frame in range(1, 5)]
    table = "\n".join(["file,label", *rows, "cine,none"]).encode()
    folder = plant(tmp_path / "own", {"a/cine.dcm": dicom(FRAMES), "t.csv": table})
    _, archive = produce(**hidden(folder, names="^a", columns=["label"]) | {"frames": "all"})
    cells = pd.read_csv(io.BytesIO(archive.read("t.csv")))
    assert cells["file"].tolist()[:4] == archive.names()[:4]
    assert cells["file"][4] == f"id-{hashed('cine')}"


@pytest.mark.parametrize("mode", ["keep", "pseudonymise"])
def test_a_frame_is_shown_through_its_own_window(mode: str, produce: Produce, tmp_path: Path) -> None:
    """As the enhanced objects have it: rescale for all frames, a window for each."""

    def item(**values: object) -> Dataset:
        data = Dataset()
        for name, value in values.items():
            setattr(data, name, value)
        return data

    rescale = item(RescaleSlope=1, RescaleIntercept=-1000, RescaleType="HU")
    shared = item(PixelValueTransformationSequence=Sequence([rescale]))
    windows = [item(WindowCenter=900 + 100 * k, WindowWidth=400 + k) for k in range(4)]
    own = [item(FrameVOILUTSequence=Sequence([window])) for window in windows]
    cine = dicom(
        FRAMES, SharedFunctionalGroupsSequence=Sequence([shared]), PerFrameFunctionalGroupsSequence=Sequence(own)
    )
    folder = plant(tmp_path / "own", {"cine.dcm": cine})
    for rule, frame in (("first", 0), ("middle", 2)):
        _, archive = produce(**hidden(folder) | {"privacy": mode, "frames": rule})
        window = {"WindowCenter": 900 + 100 * frame, "WindowWidth": 400 + frame}
        single = dicom(FRAMES[frame], RescaleSlope=1, RescaleIntercept=-1000, **window)
        assert np.array_equal(np.asarray(decode(archive.read("cine.dcm"), "a")), np.asarray(decode(single, "a")))


def test_the_documented_pattern_finds_the_pseudonym_and_nothing_behind_it() -> None:
    from stages.validate.names import assign

    names = [privacy.pseudonyms(r"P\d+").path(f"{folder}/P7_{shot}.png") for folder, shot in (("a", 1), ("b", 2))]
    params = parse(Validate, {"classes": {"a": "a/*", "b": "b/*"}, "patient": "id-[0-9a-f]+"}, "validate")
    assert set(assign(names, params, lambda _: b"").images["patient"]) == {f"id-{hashed('P7')}"}


@pytest.mark.parametrize(("keyword", "value", "stays"), [
    ("ViewPosition", "LATERAL", True), ("ViewPosition", "MUELLER", False),
    ("Manufacturer", "GE Medical Systems, Inc.", True), ("Manufacturer", "Agfa 4711-88", False),
    ("Manufacturer", "scanner of Hannelore", False), ("ManufacturerModelName", "DRX-1", True),
    ("ManufacturerModelName", "serial 00931224", False), ("BodyPartExamined", "CHEST", True),
    ("BodyPartExamined", "chest of Mueller", False), ("Laterality", "MUELLER", False),
])  # fmt: skip
def test_free_text_of_a_header_stays_only_where_it_has_no_room_for_a_name(
    keyword: str, value: str, stays: bool, produce: Produce, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of a code in small letters
        data = dicom(film(3), **{keyword: value})
    cleaned = produce(**hidden(plant(tmp_path / "own", {"IM0001": data})))[1].read("IM0001")
    assert dcmread(io.BytesIO(cleaned)).get(keyword) == (value if stays else None)
    error = capsys.readouterr().err
    assert (f"because free text may name a patient: {keyword} in 1." in error) == (not stays)
    assert value not in error


def test_an_expression_without_an_end_is_stopped(
    produce: Produce, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(privacy, "SECONDS", 0.2)
    folder = plant(tmp_path / "own", {f"{'a' * 60}!.png": png(1)})
    with pytest.raises(
        UserError, match=r"download\.pseudonyms\.names: '\(a\+\)\+b' is not done with one path"
    ) as error:
        produce(**hidden(folder, names="(a+)+b"))
    assert "aaa" not in str(error.value)


def test_an_id_that_is_the_name_of_its_image_does_not_stay_unnoticed(
    produce: Produce, tmp_path: Path, workdir: Path
) -> None:
    table = b"file,patient,finding\nMUELLER1.png,MUELLER1,well\n"
    folder = plant(tmp_path / "own", {"MUELLER1.png": png(1), "labels.csv": table})
    with pytest.raises(UserError, match="download stopped"):
        produce(**hidden(folder, columns=["finding"]))
    assert "columns 'file' and 'patient' both have names of images" in (workdir / privacy.MESSAGE).read_text()
    produce(**hidden(folder, columns=["finding", "patient"]))  # the user says that it identifies nobody
    produce(**hidden(folder, names=r"MUELLER\d", columns=["finding"]))


@pytest.mark.parametrize("where", ["archive", "message"])
def test_a_full_disk_is_said_and_not_hidden(
    where: str, produce: Produce, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("stages.shared.images.archive.zipfile.ZipFile.writestr", full)
    if where == "message":
        monkeypatch.setattr("stages.download.tables.pseudonymised", full)
    folder = plant(tmp_path / "own", {"MUELLER.png": png(1), "labels.csv": b"file,finding\nMUELLER.png,well\n"})
    with pytest.raises(UserError, match="the disk is full") as error:
        produce(**hidden(folder, columns=["finding"]))
    assert "MUELLER" not in str(error.value)
