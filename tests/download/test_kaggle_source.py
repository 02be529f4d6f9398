from __future__ import annotations

import base64
import errno
import io
import json
import stat
import zipfile
from pathlib import Path

import pytest

from stages.shared.core.errors import UserError
from stages.shared.core.paths import RAW

from .conftest import FakeKaggle, Produce, png, zipped

CUT = "cut 2500000"  # bytes of the archive's 2.8 MB; the client writes whole MiB only
RESUMED = "bytes=2097152-"
SECTION = {"source": "kaggle", "kaggle": {"dataset": "owner/name", "version": 2}}


def cached(workdir: Path) -> list[str]:
    return sorted(p.name for p in (workdir.parent / "cache").rglob("*") if p.is_file() and p.suffix != ".lock")


def refused(produce: Produce, says: str) -> UserError:
    """The stage fails with one sentence that `says` matches, and leaves no data/raw.zip, not even half of one."""
    with pytest.raises(UserError, match=says) as caught:
        produce(**SECTION)
    assert not RAW.parent.exists() or list(RAW.parent.iterdir()) == []
    return caught.value


def test_the_images_arrive_and_the_pinned_version_is_asked_for(
    produce: Produce, kaggle: FakeKaggle, workdir: Path
) -> None:
    result, archive = produce(**SECTION)
    with zipfile.ZipFile(io.BytesIO(kaggle.archive)) as original:
        assert archive.names() == sorted(original.namelist())
        assert all(archive.read(n) == original.read(n) for n in archive.names())
    path, headers = kaggle.requests[0]
    assert path == "/v1/datasets.DatasetApiService/DownloadDataset"
    assert json.loads(headers["body"]) == {"ownerSlug": "owner", "datasetSlug": "name", "datasetVersionNumber": 2}
    assert result.metrics["images"] == 4
    assert cached(workdir) == []  # no second copy stays behind


def test_the_progress_is_shown(produce: Produce, kaggle: FakeKaggle, capfd: pytest.CaptureFixture[str]) -> None:
    produce(**SECTION)
    shown = capfd.readouterr().err
    assert "100%" in shown
    assert "packing images" in shown


def basic(user: str, key: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{key}".encode()).decode()


@pytest.mark.parametrize("form", ["token", "variables", "file"])
def test_each_form_of_credentials_is_sent(
    form: str, produce: Produce, kaggle: FakeKaggle, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = "Bearer KGAT_test"
    if form != "token":
        monkeypatch.delenv("KAGGLE_API_TOKEN")
        expected = basic("ann", "k3y")
    if form == "variables":
        monkeypatch.setenv("KAGGLE_USERNAME", "ann")
        monkeypatch.setenv("KAGGLE_KEY", "k3y")
    if form == "file":
        config = workdir.parent / "config"
        config.mkdir()
        (config / "kaggle.json").write_text('{"username": "ann", "key": "k3y"}')
    produce(**SECTION)
    assert kaggle.requests[0][1]["Authorization"] == expected


def test_without_credentials_nothing_is_asked(
    produce: Produce, kaggle: FakeKaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    refused(produce, "no Kaggle credentials found; make a token at .*KAGGLE_API_TOKEN.*KAGGLE_KEY.*kaggle.json")
    assert kaggle.requests == []


@pytest.mark.parametrize("content", ["not json", '{"username": "ann"}'])
def test_a_broken_credentials_file_is_named(
    content: str, produce: Produce, kaggle: FakeKaggle, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    config = workdir.parent / "config"
    config.mkdir()
    (config / "kaggle.json").write_text(content)
    refused(produce, r"not usable: .*config/kaggle\.json")


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (400, r"refused .*owner/name version 2 \(400\)"),
        (401, r"refused the credentials \(401\).*KAGGLE_API_TOKEN"),
        (403, r"refused access to .*owner/name.*\(403\).*terms"),
        (404, r"no kaggle.com/datasets/owner/name version 2 \(404\).*download.kaggle.version"),
    ],
)
def test_a_refusal_says_what_to_do_and_is_not_repeated(
    status: int, says: str, produce: Produce, kaggle: FakeKaggle
) -> None:
    kaggle.faults = [f"status {status}"] * 9
    refused(produce, says)
    assert len(kaggle.requests) == 1


@pytest.mark.parametrize("fault", ["status 500", "status 503", "status 429", "storage 500"])
def test_trouble_that_passes_is_waited_out(fault: str, produce: Produce, kaggle: FakeKaggle) -> None:
    kaggle.faults = [fault, fault]
    assert produce(**SECTION)[0].metrics["images"] == 4


def test_trouble_that_stays_is_reported_after_some_attempts(produce: Produce, kaggle: FakeKaggle) -> None:
    kaggle.faults = ["status 500"] * 9
    refused(produce, r"trouble at present \(500\)")
    assert len(kaggle.requests) == 3


def test_without_a_network_the_remedy_is_named(produce: Produce, kaggle: FakeKaggle) -> None:
    kaggle.close()
    refused(produce, "Kaggle cannot be reached .*HTTPS_PROXY")


def test_a_server_that_stays_silent_is_given_up(
    produce: Produce, kaggle: FakeKaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    from kagglesdk import kaggle_env

    from stages.download import kaggle

    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, never answers
        monkeypatch.setattr(kaggle, "TIMEOUT", (0.1, 0.1))
        monkeypatch.setitem(
            kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, f"http://127.0.0.1:{silent.getsockname()[1]}"
        )
        refused(produce, "Kaggle cannot be reached")


def test_a_cut_connection_is_resumed_within_the_run(produce: Produce, kaggle: FakeKaggle) -> None:
    kaggle.faults = [CUT]
    assert produce(**SECTION)[0].metrics["images"] == 4
    assert kaggle.requests[-1][1]["Range"] == RESUMED


def test_an_interrupted_download_is_resumed_by_the_next_run(
    produce: Produce, kaggle: FakeKaggle, workdir: Path
) -> None:
    kaggle.faults = [CUT, "cut 0", "cut 0", "cut 0", "cut 0"]
    refused(produce, "interrupted after 2.1 MB .*continues from there")
    assert cached(workdir) == ["2.archive"]
    kaggle.faults = []
    assert produce(**SECTION)[0].metrics["images"] == 4
    assert kaggle.requests[-1][1]["Range"] == RESUMED


def test_storage_that_cannot_resume_is_read_from_the_start(produce: Produce, kaggle: FakeKaggle) -> None:
    kaggle.ranges, kaggle.faults = False, [CUT]
    assert produce(**SECTION)[0].metrics["images"] == 4
    assert "Range" not in kaggle.requests[-1][1]


def test_a_wrong_checksum_leaves_nothing_and_the_next_run_starts_clean(
    produce: Produce, kaggle: FakeKaggle, workdir: Path
) -> None:
    kaggle.checksum = b"something else"
    refused(produce, "does not match Kaggle's checksum")
    assert cached(workdir) == []
    kaggle.checksum = None
    assert produce(**SECTION)[0].metrics["images"] == 4


def test_a_download_that_was_whole_before_the_run_broke_off_is_not_repeated(
    produce: Produce, kaggle: FakeKaggle, workdir: Path
) -> None:
    folder = workdir.parent / "cache/datasets/owner/name"
    folder.mkdir(parents=True)
    (folder / "2.archive").write_bytes(kaggle.archive)
    assert produce(**SECTION)[0].metrics["images"] == 4
    assert cached(workdir) == []


def hostile() -> dict[str, tuple[bytes, str]]:
    """Archives that must not come through, and what the error says."""
    good = zipped({"a.png": png(1, 64), "b.png": png(2, 64)}, zipfile.ZIP_STORED)
    middle = len(good) // 3
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    liar = bytearray(zipped({"a.png": bytes(3_000_000)}))
    for at in (liar.rfind(b"PK\x01\x02") + 24, 22):  # the size a member declares, in both headers
        liar[at : at + 4] = (1000).to_bytes(4, "little")
    return {
        "climbs out": (zipped({"../../evil.png": png()}), r"'\.\./\.\./evil\.png' would be unpacked outside"),
        "absolute": (zipped({"/etc/evil.png": png()}), "outside its folder"),
        "drive letter": (zipped({"C:\\evil.png": png()}), "outside its folder"),
        "climbs with backslashes": (zipped({"a\\..\\..\\evil.png": png()}), "outside its folder"),
        "link": (buffer.getvalue(), "'link.png' is a link"),
        "zip bomb": (zipped({"a.png": bytes(30_000_000)}), r"refused as a zip bomb.*to 1, over limits.ratio = 200"),
        "lying zip bomb": (bytes(liar), "damaged"),
        "flipped bytes": (good[:middle] + bytes(9) + good[middle + 9 :], "damaged.*deleted; run `dvc repro` again"),
        "cut short": (good[:middle], "not a readable .zip or .tar archive.*deleted"),
        "no archive": (b"<html>please log in</html>", "not a readable .zip or .tar archive"),
        "no images": (zipped({"table.txt": b"1,2"}), r"no image found. It has 1 other file \(1 \.txt\)"),
    }


@pytest.mark.parametrize("case", hostile())
def test_a_bad_archive_is_refused_and_a_mended_one_is_then_taken(
    case: str, produce: Produce, kaggle: FakeKaggle, workdir: Path
) -> None:
    good = kaggle.archive
    kaggle.archive, says = hostile()[case]
    refused(produce, says)
    outside = {p.name for p in workdir.parent.rglob("*") if "evil" in p.name}
    assert not outside
    if case != "no images":  # sound, only useless: another limit or pattern would not need it again
        assert cached(workdir) == []
        kaggle.archive = good
        assert produce(**SECTION)[0].metrics["images"] == 4


def test_the_declared_size_is_held_against_the_limit(produce: Produce, kaggle: FakeKaggle) -> None:
    section = {**SECTION, "kaggle": {**SECTION["kaggle"], "limits": {"unpacked_gb": 1e-6}}}
    with pytest.raises(UserError, match=r"over limits.unpacked_gb = 1e-06.*raise that limit"):
        produce(**section)


def test_a_full_disk_while_packing_keeps_the_download(
    produce: Produce, kaggle: FakeKaggle, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "writestr", full)
        refused(produce, "data/raw.zip: the disk is full")
    assert cached(workdir) == ["2.archive"]
    assert produce(**SECTION)[0].metrics["images"] == 4


def test_a_full_disk_while_downloading_is_named(
    produce: Produce, kaggle: FakeKaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages.download import kaggle

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kaggle, "download_file", full)
    refused(produce, r"2\.archive: the disk is full")


def test_two_downloads_of_one_set_give_the_same_bytes(produce: Produce, kaggle: FakeKaggle) -> None:
    produce(**SECTION)
    first = RAW.read_bytes()
    produce(**SECTION)
    assert RAW.read_bytes() == first
