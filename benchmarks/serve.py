"""What an answer costs: `python -m stages serve` beside `mlflow models serve`, with 1, 8 and 64 clients; and the
exported network beside eager torch.

cd STUDY && python …/benchmarks/serve.py [--key KEY] [--seconds 8] [--rounds 2]

Needs a finished study in the working directory: a trained model and data/raw.zip. Both servers run on this machine, and
so do their clients: compare ratios. The two take turns, and the median of the rounds counts.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
CLIENTS = (1, 8, 64)
IMAGES = 32
PATIENCE = 180  # seconds for a server to come up
BOUNDARY = "films"


@dataclass(frozen=True)
class Load:
    """What clients saw that each sent one request after the other. Seconds, and answers per second."""

    p50: float
    p99: float
    rate: float


@dataclass(frozen=True)
class Contender:
    """A server that runs. bodies: one for each image."""

    name: str
    port: int
    path: str
    headers: dict[str, str]
    bodies: Sequence[bytes]

    def ask(self, connection: http.client.HTTPConnection, image: int) -> None:
        connection.request("POST", self.path, self.bodies[image % len(self.bodies)], self.headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{self.name}: HTTP {answer.status}: {text[:300].decode(errors='replace')}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--key", help="a folder of models/; default: the model that validation chose")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    sys.path.insert(0, str(REPOSITORY))
    from stages.shared.exported.chosen import chosen_key

    key = options.key or chosen_key()
    export = Path("models/onnx") / key
    if not export.is_dir():
        subprocess.run([sys.executable, "-m", "stages", "export", key], env=environment(), check=True)
    films = some_films(Path("data/raw.zip"))
    print(f"{key}, {len(os.sched_getaffinity(0))} cores")
    networks(Path("models") / key, export, films)
    with (
        tempfile.TemporaryDirectory() as scratch,
        ours(export, films) as one,
        mlflows(key, Path(scratch), films) as other,
    ):
        servers(one, other, options.seconds, options.rounds)


def networks(model: Path, export: Path, films: Sequence[bytes]) -> None:
    """One image after the other in this process, without HTTP: the network alone, and with its preprocessing."""
    from stages.serve.service import Service
    from stages.shared.tasks.classification import probabilities
    from stages.shared.tasks.models import load

    eager, _ = load(model)
    service = Service.open(export)
    images = [service.prepare(film).image[None] for film in films]
    alone = each(lambda i: probabilities(eager, images[i])), each(lambda i: service.export.predict(images[i]))
    whole = (
        each(lambda i: probabilities(eager, service.prepare(films[i]).image[None])),
        each(lambda i: service.predict(service.prepare(films[i]).image[None])),
    )
    row("network alone, ms: torch, export", *(1000 * seconds for seconds in alone))
    row("with preprocessing, ms: torch, export", *(1000 * seconds for seconds in whole))
    bar("network alone, torch / export", alone[0] / alone[1], 2.0)


def servers(one: Contender, other: Contender, seconds: float, rounds: int) -> None:
    cold = {contender.name: first(contender) for contender in (one, other)}
    loads: dict[tuple[str, int], list[Load]] = {}
    for _ in range(rounds):
        for clients in CLIENTS:
            for contender in (one, other):
                loads.setdefault((contender.name, clients), []).append(measure(contender, clients, seconds))
    print(f"\n{'':24} {'clients':>8} {'p50, ms':>9} {'p99, ms':>9} {'answers/s':>10}")
    middle = {
        which: Load(*(statistics.median(values) for values in zip(*map(astuple, own), strict=True)))
        for which, own in loads.items()
    }
    for (name, clients), load in sorted(middle.items(), key=lambda item: item[0][1]):
        print(f"{name:24} {clients:8} {1000 * load.p50:9.1f} {1000 * load.p99:9.1f} {load.rate:10.1f}")
    print()
    bar("first answer of a fresh server, s", cold[one.name], 1.0, at_most=True)
    for clients in CLIENTS:
        ratio = middle[one.name, clients].rate / middle[other.name, clients].rate
        bar(f"answers/s beside MLflow, {clients} clients", ratio, 5.0 if clients == 8 else None)


def astuple(load: Load) -> tuple[float, float, float]:
    return load.p50, load.p99, load.rate


def measure(contender: Contender, clients: int, seconds: float) -> Load:
    """Closed loop: each client waits for its answer."""
    times: list[float] = []
    since = time.perf_counter()

    def client(number: int) -> None:
        connection, i = http.client.HTTPConnection("127.0.0.1", contender.port, timeout=120), number
        while time.perf_counter() - since < seconds:
            start = time.perf_counter()
            contender.ask(connection, i)
            times.append(time.perf_counter() - start)
            i += 1

    with ThreadPoolExecutor(clients) as threads:
        ended = [threads.submit(client, number) for number in range(clients)]
    for one in ended:
        one.result()  # else a server that refuses would only look slower
    taken = time.perf_counter() - since
    return Load(*np.percentile(times, [50, 99]).tolist(), len(times) / taken)


def first(contender: Contender) -> float:
    since = time.perf_counter()
    contender.ask(http.client.HTTPConnection("127.0.0.1", contender.port, timeout=120), 0)
    return time.perf_counter() - since


def each(function: Callable[[int], object], seconds: float = 3.0) -> float:
    """Median seconds of a call, warm."""
    times: list[float] = []
    for i in range(3):
        function(i)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        since = time.perf_counter()
        function(len(times) % IMAGES)
        times.append(time.perf_counter() - since)
    return statistics.median(times)


@contextmanager
def ours(export: Path, films: Sequence[bytes]) -> Iterator[Contender]:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="film"\r\n\r\n'.encode()
    bodies = [head + film + f"\r\n--{BOUNDARY}--\r\n".encode() for film in films]
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    port = free_port()
    with running(
        [sys.executable, "-m", "stages", "serve", "--folder", str(export), "--port", str(port)], port, "/ready"
    ):
        yield Contender("python -m stages serve", port, "/predict", headers, bodies)


@contextmanager
def mlflows(key: str, scratch: Path, films: Sequence[bytes]) -> Iterator[Contender]:
    """The same model as train logs it."""
    import mlflow

    from stages.shared.tracking.package import log_model

    store = f"sqlite:///{scratch / 'mlflow.db'}"
    mlflow.set_tracking_uri(store)
    mlflow.set_experiment(
        experiment_id=mlflow.create_experiment("serving", artifact_location=(scratch / "artifacts").as_uri())
    )
    with mlflow.start_run():
        log_model(Path("models") / key)
    uri = mlflow.search_logged_models(output_format="list")[0].model_uri
    bodies = [
        json.dumps({"dataframe_split": {"columns": ["image"], "data": [[base64.b64encode(film).decode()]]}}).encode()
        for film in films
    ]
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", uri, "--env-manager", "local", "-p", str(port)]
    with running([*command, "-w", "1"], port, "/ping", MLFLOW_TRACKING_URI=store):
        yield Contender("mlflow models serve", port, "/invocations", {"Content-Type": "application/json"}, bodies)


@contextmanager
def running(command: Sequence[str], port: int, path: str, **more: str) -> Iterator[None]:
    """Until the end of the block; a group of its own, because servers have workers."""
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(command, env=environment(**more), stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for(server, port, path)
            yield
        except BaseException:
            log.seek(0)
            print(log.read()[-2000:].decode(errors="replace"), file=sys.stderr)
            raise
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()


def wait_for(server: subprocess.Popen[bytes], port: int, path: str) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if server.poll() is not None:
            raise SystemExit(f"a server ended with code {server.returncode}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass  # not yet
        time.sleep(0.3)
    raise SystemExit(f"a server did not answer on port {port} within {PATIENCE} s")


def some_films(archive: Path) -> list[bytes]:
    with zipfile.ZipFile(archive) as files:
        names = [name for name in files.namelist() if re.search(r"\.(png|jpe?g)$", name, re.IGNORECASE)]
        return [files.read(names[i]) for i in np.linspace(0, len(names) - 1, IMAGES).astype(int)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "MLFLOW_", "LIGHTBOX_"))}
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "PYTHONPATH": str(REPOSITORY), **more}


def row(what: str, *values: float) -> None:
    print(f"{what:46} {'  '.join(f'{value:8.2f}' for value in values)}", flush=True)


def bar(what: str, value: float, limit: float | None = None, at_most: bool = False) -> None:
    verdict = ""
    if limit is not None:
        met = value <= limit if at_most else value >= limit
        verdict = f"   bar {'≤' if at_most else '≥'} {limit:g}   {'MET' if met else 'missed'}"
    print(f"{what:46} {value:8.2f}{verdict}", flush=True)


if __name__ == "__main__":
    main()
