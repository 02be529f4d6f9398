"""The server: right answers together, refusals that tell nothing, models that change under load."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import queue
import shutil
import subprocess
import sys
import threading
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from stages.serve.http.app import make_app
from stages.serve.http.batcher import Batcher
from stages.serve.http.follower import Follower
from stages.serve.http.guard import Guard
from stages.serve.http.metrics import Metrics
from stages.serve.http.models import Models
from stages.serve.params import Http
from stages.serve.service import Service
from stages.shared.core.errors import UserError
from stages.shared.exported import served
from stages.shared.images.decode import decode

from . import planted_export
from .planted_export import expected, films, png

SLOPE = 0.05
SECRET = "Erika_Mustermann_19640812.png"


class Server:
    """An application on one planted export, and a client of it."""

    def __init__(self, folder: Path, key: str | None = None, log: Path | None = None, **settings) -> None:
        values = Http.model_validate(settings)
        self.metrics = Metrics()
        self.models = Models(
            self.metrics, lambda folder, version: Service.open(folder, version, int(values.megapixels * 1e6))
        )
        self.models.serve(folder, "models:/lightbox/1")
        self.client = TestClient(make_app(self.models, self.metrics, values, key, log))

    def ask(self, data, query="", **more):
        return self.client.post(f"/predict{query}", files={"image": (SECRET, data)}, **more)

    def number(self, name, **labels):
        return self.metrics.registry.get_sample_value(f"lightbox_{name}", labels)


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    return planted_export.write(tmp_path_factory.mktemp("exports") / "one", SLOPE)


@pytest.fixture
def server(export):
    own = Server(export, megapixels=10)
    with own.client:
        yield own


def test_an_answer_is_the_closed_formula_of_the_planted_model(server):
    for film in films(5):
        answer = server.ask(png(film)).json()
        p = expected(film, SLOPE)
        assert answer["probabilities"]["sick"] == pytest.approx(p, abs=1e-5)
        assert answer["predicted"] == ("sick" if p > 0.5 else "normal")
        assert answer["operating_points"]["sick"]["above"] == (p > 0.5)
        assert answer["prediction_set"] == [name for name, q in (("normal", 1 - p), ("sick", p)) if 1 - q <= 0.7]
        assert answer["abstain"] == (max(p, 1 - p) < 0.6)
        assert answer["model"]["version"] == "models:/lightbox/1"
        assert answer["model"]["certificate"]["largest_difference"] == 1e-6
        assert "diagnosis" in answer["warning"]


def test_the_example_of_the_interface_is_an_answer(server):
    from stages.serve.http.schema import EXAMPLE, Prediction

    Prediction.model_validate(EXAMPLE)
    page = server.client.get("/openapi.json").json()
    shown = page["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]
    assert shown["example"] == EXAMPLE


def test_64_requests_at_once_get_their_own_answers_in_fewer_calls_of_the_model(export):
    pictures = films(64)
    server = Server(export, window_ms=50)
    with server.client, ThreadPoolExecutor(64) as clients:
        answers = list(clients.map(lambda film: server.ask(png(film)).json(), pictures))
        calls = server.number("batch_images_count")
        assert server.number("batch_images_sum") == 64
    for film, answer in zip(pictures, answers, strict=True):
        assert answer["probabilities"]["sick"] == pytest.approx(expected(film, SLOPE), abs=1e-5)
    assert calls <= 32


def test_a_request_that_is_alone_waits_for_nobody(export):
    server = Server(export, window_ms=1000)
    with server.client:
        server.ask(png(films(1)[0]))
        since = time.perf_counter()
        server.ask(png(films(1)[0]))
    assert time.perf_counter() - since < 0.9


def test_a_heat_map_is_where_the_image_speaks_for_the_class(server):
    film = np.full((16, 16), 60, np.uint8)
    film[4:8, 8:12] = 250  # the brightest of the 4×4 cells: row 1, column 2
    film[:, :4] = 190
    heatmap = server.ask(png(film), "?heatmap=true").json()["heatmap"]
    values = np.array(heatmap["values"])
    side = 1 if heatmap["of"] == "sick" else -1
    activation = side * SLOPE * (film.reshape(4, 4, 4, 4).mean(axis=(1, 3)) - 128)
    assert values == pytest.approx(np.maximum(activation, 0) / activation.max(), abs=1e-3)
    picture = Image.open(io.BytesIO(base64.b64decode(heatmap["png"])))
    assert (picture.size, picture.mode) == ((16, 16), "RGB")
    assert server.ask(png(film)).json()["heatmap"] is None


def test_a_model_without_maps_says_why_there_is_no_heat_map(tmp_path):
    server = Server(planted_export.write(tmp_path / "plain", maps=False))
    with server.client:
        heatmap = server.ask(png(films(1)[0]), "?heatmap=true").json()["heatmap"]
    assert heatmap["png"] is None
    assert "torch" in heatmap["reason"]


def dicom(**changes) -> bytes:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = changes.pop("syntax", ExplicitVRLittleEndian)
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    file = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    file.PatientName = "Mustermann^Erika"
    file.Rows = file.Columns = 16
    file.SamplesPerPixel, file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 1, 8, 8, 7, 0
    file.PhotometricInterpretation = "MONOCHROME2"
    file.PixelData = films(3)[2].tobytes()
    for name, value in changes.items():
        setattr(file, name, value)
    buffer = io.BytesIO()
    file.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def deflated_bomb() -> bytes:
    """A DICOM file of a few kilobytes, which inflates to 100 MiB."""
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    start = dicom(syntax=DeflatedExplicitVRLittleEndian)
    head = start[: 144 + int.from_bytes(start[140:144], "little")]
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    element = b"\xe0\x7f\x10\x00OW\x00\x00" + (100 * 2**20).to_bytes(4, "little")
    return (
        head
        + deflate.compress(element)
        + b"".join(deflate.compress(bytes(2**20)) for _ in range(100))
        + deflate.flush()
    )


def header_bomb() -> bytes:
    """A PNG of 9,000 × 9,000 pixels in a few hundred bytes."""
    data = bytearray(png(np.zeros((2, 2), np.uint8)))
    data[16:24] = (9000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


BROKEN = {
    "truncated": (png(films(1)[0])[:120], 422),
    "empty": (b"", 422),
    "text": (b"Patient: Erika Mustermann", 422),
    "pixels": (header_bomb(), 413),
    "50 MB": (bytes(50 * 10**6), 413),
    "DICOM without its palette": (dicom(PhotometricInterpretation="PALETTE COLOR"), 422),
    "DICOM with too few pixels": (dicom(PixelData=b"\0\0"), 422),
    "huge DICOM": (dicom(Rows=60000, Columns=60000), 413),
    "deflated DICOM": (deflated_bomb(), 413),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_read_is_refused_without_a_trace_or_a_name(server, case, caplog):
    data, status = BROKEN[case]
    since = time.perf_counter()
    answer = server.ask(data)
    assert answer.status_code == status
    assert set(answer.json()) == {"detail"}
    for word in ("Mustermann", "Traceback", ".py", "File "):
        assert word not in answer.text + caplog.text
    assert time.perf_counter() - since < 5
    assert server.ask(png(films(1)[0])).status_code == 200


def test_a_palette_is_read_as_training_reads_it(server):
    levels = np.arange(256, dtype="<u2")[::-1] * 257
    tables = {}
    for colour in ("Red", "Green", "Blue"):
        tables[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tables[f"{colour}PaletteColorLookupTableData"] = levels.tobytes()
    file = dicom(PhotometricInterpretation="PALETTE COLOR", **tables)
    film = np.asarray(decode(file, "film").convert("L"))
    assert film.mean() < 128 < 255 - film.mean()  # the palette turns black into white
    assert server.ask(file).json()["probabilities"]["sick"] == pytest.approx(expected(film, SLOPE), abs=1e-5)


def test_a_body_without_a_length_is_counted_while_it_arrives(export):
    server = Server(export, body_mb=1)
    sent = []

    def endless():
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        for _ in range(100):
            sent.append(2**18)
            yield bytes(2**18)

    with server.client:
        answer = server.client.post(
            "/predict", content=endless(), headers={"content-type": "multipart/form-data; boundary=x"}
        )
    assert answer.status_code == 413


def test_a_request_without_an_image_repeats_nothing_of_it(server):
    answer = server.client.post("/predict", data={"picture": "Erika Mustermann"})
    assert answer.status_code == 422
    assert "body.image" in answer.json()["detail"]
    assert "Erika" not in answer.text


def test_an_error_of_ours_gives_no_trace_and_no_text_of_a_patient(server, caplog, monkeypatch):
    def broken(self, images):
        raise RuntimeError("PatientName: Erika Mustermann")

    monkeypatch.setattr(Service, "predict", broken)
    caplog.set_level("DEBUG")
    answer = server.ask(png(films(1)[0]))
    assert answer.status_code == 500
    assert "RuntimeError in broken" in caplog.text
    assert "Mustermann" not in caplog.text + answer.text
    assert server.number("requests_total", path="/predict", status="500") == 1


def test_a_key_is_asked_for_before_a_body_is_read(export):
    server = Server(export, key="right")
    film = png(films(1)[0])
    with server.client:
        assert server.ask(film).status_code == 401
        assert server.ask(film, headers={"X-API-Key": "wrong"}).status_code == 401
        assert server.ask(film, headers={"X-API-Key": "right"}).status_code == 200
        assert server.ask(film, headers={"Authorization": "Bearer right"}).status_code == 200
        assert server.client.get("/version").status_code == server.client.get("/metrics").status_code == 401
        assert server.client.get("/health").status_code == server.client.get("/ready").status_code == 200


def test_more_requests_than_may_wait_are_told_to_come_again(export, monkeypatch):
    server, hold = Server(export, waiting=2), threading.Event()
    predict = Service.predict
    monkeypatch.setattr(Service, "predict", lambda self, images: (hold.wait(10), predict(self, images))[1])
    with server.client, ThreadPoolExecutor(2) as clients:
        waiting = [clients.submit(server.ask, png(film)) for film in films(2)]
        while server.client.app.under_way < 2:
            time.sleep(0.01)
        busy = server.ask(png(films(1)[0]))
        hold.set()
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")
        assert [answer.result().status_code for answer in waiting] == [200, 200]


def test_requests_that_would_fill_the_memory_are_told_to_come_again(export, monkeypatch):
    """Two of 0.4 MiB in a memory of 0.6; one that is larger than the memory still comes through alone."""
    server, hold = Server(export, waiting_mb=0.6), threading.Event()
    predict = Service.predict
    monkeypatch.setattr(Service, "predict", lambda self, images: (hold.wait(10), predict(self, images))[1])
    film = png(films(1)[0])
    padded = film + bytes(int(0.4 * 2**20) - len(film))  # behind the end of a PNG lies what no reader looks at
    with server.client, ThreadPoolExecutor(1) as clients:
        first = clients.submit(server.ask, padded)
        while not server.client.app.under_way:
            time.sleep(0.01)
        busy, small = server.ask(padded), clients.submit(server.ask, film)
        hold.set()
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")
        assert "memory" in busy.json()["detail"]
        assert (first.result().status_code, small.result().status_code) == (200, 200)
        assert server.ask(padded + padded).status_code == 200
    assert server.client.app.bytes == 0


def test_models_are_swapped_under_load_and_no_request_is_lost(server, tmp_path):
    """Every answer is that of the version which it names."""
    slopes = {"models:/lightbox/1": SLOPE}
    pictures, ended = films(8), threading.Event()

    def ask_on(film):
        answers = []
        while not ended.is_set():
            answers.append((film, server.ask(png(film))))
        return answers

    with ThreadPoolExecutor(8) as clients:
        asking = [clients.submit(ask_on, film) for film in pictures]
        for i, slope in enumerate((-0.05, 0.1, 0.02), 2):
            slopes[f"models:/lightbox/{i}"] = slope
            folder = planted_export.write(tmp_path / str(i), slope)
            server.models.hear({"version": f"models:/lightbox/{i}", "path": str(folder)})
            time.sleep(0.2)
        ended.set()
        answers = [pair for client in asking for pair in client.result()]
    versions = set()
    for film, answer in answers:
        assert answer.status_code == 200
        version = answer.json()["model"]["version"]
        versions.add(version)
        assert answer.json()["probabilities"]["sick"] == pytest.approx(expected(film, slopes[version]), abs=1e-5)
    assert len(versions) >= 3
    assert server.number("swaps_total") == 4


@pytest.mark.parametrize("fault", ["changed", "no certificate", "not finite", "gone"])
def test_a_broken_candidate_leaves_the_old_model_answering(server, tmp_path, fault, caplog):
    folder = tmp_path / "two"
    if fault != "gone":
        planted_export.write(folder, float("nan") if fault == "not finite" else SLOPE)
    if fault == "changed":
        with (folder / "model.onnx").open("ab") as file:
            file.write(b"\0")
    if fault == "no certificate":
        (folder / "certificate.json").unlink()
    server.models.hear({"version": "models:/lightbox/2", "path": str(folder)})
    answer = server.ask(png(films(1)[0]))
    assert (answer.status_code, answer.json()["model"]["version"]) == (200, "models:/lightbox/1")
    ready = server.client.get("/ready").json()
    assert ready["ready"]
    assert ready["refused"].startswith("models:/lightbox/2: ")
    assert str(tmp_path) not in ready["refused"]
    assert server.number("refused_models_total") == 1
    good = planted_export.write(tmp_path / "three", 0.1)
    server.models.hear({"version": "models:/lightbox/3", "path": str(good)})
    assert server.client.get("/ready").json() | {"registry": None} == {
        "ready": True, "version": "models:/lightbox/3", "refused": None, "registry": None,
    }  # fmt: skip


def test_without_a_champion_the_chosen_model_answers_until_there_is_one(export, tmp_path):
    metrics, calls = Metrics(), []

    def chosen():
        calls.append(1)
        return export

    models = Models(metrics, Service.open, chosen, tmp_path / "memory.json")
    models.hear({"absent": "models:/lightbox@champion: lightbox has no champion"})
    assert models.service.version == str(export)
    two = planted_export.write(tmp_path / "two", 0.1)
    models.hear({"version": "models:/lightbox/2", "path": str(two)})
    models.hear({"absent": "models:/lightbox@champion: lightbox has no champion"})
    assert (models.service.version, len(calls)) == ("models:/lightbox/2", 1)
    later = Models(Metrics(), Service.open, chosen, tmp_path / "memory.json")
    later.hear({"error": "the registry does not answer"})  # at the next start
    assert later.service.version == "models:/lightbox/2"


def test_a_server_that_waits_for_a_champion_is_not_ready(export):
    models, metrics = Models(Metrics(), Service.open), Metrics()
    models.hear({"absent": "models:/lightbox@champion: nobody"})
    with TestClient(make_app(models, metrics, Http(), None, None)) as client:
        assert client.get("/health").status_code == 200
        assert client.get("/ready").status_code == 503
        assert client.get("/ready").json()["registry"] == "models:/lightbox@champion: nobody"
        assert client.post("/predict", files={"image": png(films(1)[0])}).status_code == 503
        models.serve(export)
        assert client.get("/ready").status_code == 200


def test_metrics_count_what_happened(server):
    for film in films(3):
        server.ask(png(film))
    server.ask(b"text")
    server.client.get("/anything")
    text = server.client.get("/metrics").text
    assert 'lightbox_requests_total{path="/predict",status="200"} 3.0' in text
    assert 'lightbox_requests_total{path="/predict",status="422"} 1.0' in text
    assert 'lightbox_requests_total{path="other",status="404"} 1.0' in text
    assert 'lightbox_model{key="planted-by-hand",version="models:/lightbox/1"} 1.0' in text


def test_answers_do_not_wait_for_the_log_unless_it_falls_far_behind(export, tmp_path, monkeypatch):
    go_on, write, written = threading.Event(), served.write, []

    def slow(rows, place):
        assert go_on.wait(20)
        write(rows, place)
        written.extend(rows)

    monkeypatch.setattr(served, "write", slow)
    server = Server(export, log=tmp_path / "served", waiting=2)
    with server.client, ThreadPoolExecutor() as pool:
        answers = [server.ask(png(film)).status_code for film in films(2)]
        assert answers == [200, 200]
        assert written == []
        third = pool.submit(server.ask, png(films(1)[0]))
        with pytest.raises(TimeoutError):
            third.result(0.3)
        go_on.set()
        assert third.result(20).status_code == 200
    assert len(written) == 3, "the end of the server waits for the log"


def test_features_are_remembered_for_drift_but_no_image_and_no_name(export, tmp_path):
    server, pictures = Server(export, log=tmp_path / "served"), films(3)
    with server.client:
        for film in pictures:
            server.ask(png(film))
    rows = list(served.read(tmp_path / "served"))
    assert [float(row.features[0]) for row in rows] == pytest.approx([film.mean() for film in pictures], abs=0.1)
    assert [row.facts["brightness"] for row in rows] == pytest.approx([film.mean() for film in pictures], abs=1e-3)
    assert [row.facts["contrast"] for row in rows] == pytest.approx([film.std() for film in pictures], abs=1e-3)
    assert {(row.version, row.probabilities.size) for row in rows} == {("models:/lightbox/1", 2)}
    (file,) = (tmp_path / "served").iterdir()
    assert set(json.loads(file.read_text().splitlines()[0])) == {
        "time", "version", "onnx_sha256", "features", "probabilities", "facts",
    }  # fmt: skip
    assert "Mustermann" not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    with pytest.raises(UserError, match="serve.http.log"):
        list(served.read(tmp_path / "nothing"))


def test_the_facts_are_those_of_validate():
    from stages.shared.exported.facts import facts_of
    from stages.validate.inspection import inspect_image

    colour = np.stack(films(3), axis=2)
    for film in (films(1)[0], colour):
        own = facts_of(film if film.ndim == 3 else film[..., None])
        theirs = vars(inspect_image(png(film), "film.png", hash_size=8))
        assert own == pytest.approx({name: theirs[name] for name in own}, abs=1e-3)


def test_the_server_imports_neither_torch_nor_mlflow_nor_pandas(export, repository):
    program = f"""
import sys
from pathlib import Path
from starlette.testclient import TestClient
from stages import commands
from stages.serve.http import command, models, follower, chosen
from stages.serve.http.app import make_app
from stages.serve.http.follower import Follower
from stages.serve.http.metrics import Metrics
from stages.serve.params import Http
from stages.serve.service import Service
own = models.Models(Metrics(), Service.open)
own.serve(Path({str(export)!r}))
with TestClient(make_app(own, Metrics(), Http(), None, None)) as client:
    answer = client.post("/predict?heatmap=true", files={{"image": {png(films(1)[0])!r}}})
assert answer.status_code == 200, answer.text
print([name for name in ("torch", "mlflow", "pandas", "matplotlib", "sklearn") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr[-2000:]


def test_prepared_images_are_the_bits_that_preprocess_wrote(export, tmp_path):
    """Steps of a real study: equalised at the size of the file, then resized."""
    from stages.shared.arrays.preprocessing import Preprocessor, PreprocessSpec

    folder = tmp_path / "steps"
    shutil.copytree(export, folder)
    recipe = json.loads((folder / "recipe.json").read_text())
    recipe["preprocess"] |= {"steps": [{"CLAHE": {"clip_limit": [2.0, 2.0], "tile_grid_size": [8, 8]}}]}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    certificate = json.loads((folder / "certificate.json").read_text())
    from stages.shared.core.files import sha256

    certificate["files"]["recipe.json"] = sha256(folder / "recipe.json")
    (folder / "certificate.json").write_text(json.dumps(certificate))
    spec = PreprocessSpec.model_validate(recipe["preprocess"])
    service, film = Service.open(folder), np.random.default_rng(1).integers(0, 255, (70, 50), dtype=np.uint8)
    assert np.array_equal(service.prepare(png(film)).image, Preprocessor(spec)(png(film), "film.png"))


def test_who_watches_the_registry_is_started_again_and_ends_with_the_server(workspace, repository, monkeypatch):
    """A process of its own; without a registry it needs no MLflow to say so."""
    monkeypatch.setenv("PYTHONPATH", str(repository))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    heard: queue.Queue[dict[str, str]] = queue.Queue()
    follower = Follower("models:/lightbox@champion", 0.1, heard.put)
    follower.start()
    assert "no model is registered" in heard.get(timeout=30)["absent"]
    follower._process.kill()
    assert "started again" in heard.get(timeout=30)["error"]
    assert "no model is registered" in heard.get(timeout=30)["absent"]
    follower.stop()
    follower.join(timeout=10)
    assert (follower.is_alive(), follower._process.returncode) == (False, 0)


def scope_of(path: str, **headers: str) -> dict:
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip


async def never():
    await asyncio.Event().wait()


def test_who_has_no_key_takes_no_place_of_those_who_have_one():
    """However slowly such a request sends."""

    async def both() -> list[int]:
        statuses: list[int] = []

        async def application(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})

        async def send(message):
            statuses.append(message.get("status", 0))

        guard = Guard(application, Metrics(), limit=100, seconds=30, waiting=1, memory=100, key="right")
        stranger = asyncio.create_task(guard(scope_of("/predict"), never, send))
        await asyncio.sleep(0.01)
        await guard(scope_of("/predict", x_api_key="right"), never, send)
        stranger.cancel()
        return statuses

    assert asyncio.run(both()) == [200]


def test_a_request_that_takes_too_long_to_arrive_is_told_so(export):
    server = Server(export, seconds=0.1)
    statuses = []

    async def send(message):
        statuses.append(message.get("status"))

    scope = scope_of("/predict", content_type="multipart/form-data; boundary=x")
    asyncio.run(server.client.app(scope, never, send))
    assert statuses[0] == 408


def test_a_batch_does_not_wait_for_an_image_that_is_in_it(export, monkeypatch):
    server, submit = Server(export, window_ms=1000), Batcher.submit

    def slowly(self, *request):
        future = submit(self, *request)
        time.sleep(0.1)  # the thread that predicts goes first
        return future

    monkeypatch.setattr(Batcher, "submit", slowly)
    with server.client:
        since = time.perf_counter()
        server.ask(png(films(1)[0]))
    assert time.perf_counter() - since < 0.9


def test_an_image_without_a_number_for_an_answer_is_not_called_healthy(server):
    """Nor do those that came with it go without theirs."""
    service, bright = server.models.service, np.full((1, 16, 16, 1), 200, np.uint8)
    own = service.export.session

    class Broken:
        outputs, size = own.outputs, own.size

        def __call__(self, images):
            answers = dict(own(images))
            answers["logits"][images.mean(axis=(1, 2, 3)) < 50] = np.nan
            return answers

    broken = replace(service, export=replace(service.export, session=Broken()))
    with pytest.raises(UserError, match="not finite"):
        broken.predict(np.zeros_like(bright))
    held, batcher = threading.Event(), Batcher(1, 8, lambda images: held.wait(5))
    first = batcher.submit(broken, bright[0])
    together = [batcher.submit(broken, image) for image in (bright[0], np.zeros_like(bright[0]), bright[0])]
    held.set()
    assert first.result(timeout=5).decision.predicted == "sick"
    assert [future.exception(timeout=5) is None for future in together] == [True, False, True]
    batcher.close()


def test_a_message_that_cannot_be_followed_keeps_nobody_waiting(export, workspace, repository, monkeypatch):
    """The memory of the last champion is damaged: the server starts, and hears of the next champion."""
    monkeypatch.setenv("PYTHONPATH", str(repository))
    memory = workspace / "champion.json"
    memory.write_text("{")
    models = Models(Metrics(), Service.open, memory=memory)
    follower = Follower("models:/lightbox@champion", 60, models.hear)
    follower._pass_on({"error": "the registry does not answer at http://10.0.0.1"})
    models.wait()
    assert "10.0.0.1" not in models.registry
    follower._pass_on({"version": "models:/lightbox/1", "path": str(export)})
    assert models.service.version == "models:/lightbox/1"
    follower.stop()


def test_libraries_write_nothing_of_a_file_to_the_log(capfd):
    from stages.serve.http import command

    file = dicom(SpecificCharacterSet="ISO_IR 100").replace(b"ISO_IR 100", b"MUSTERMANN")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decode(file, "film")
        assert "MUSTERMANN" in str(caught[0].message)
        caught.clear()
        command.logger()
        decode(file, "film")
    assert not caught
    assert "MUSTERMANN" not in capfd.readouterr().err
