"""A logged model answers `mlflow models serve`, and gives what the model itself gives."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from PIL import Image

from stages.shared.core.job import Job, Result
from stages.shared.core.paths import Key
from stages.shared.tasks.classification import probabilities
from stages.shared.tasks.models import load
from stages.shared.tracking.recording import recording

pytestmark = pytest.mark.e2e
KEY = Key("small_cnn", "from_scratch", "full")


@pytest.fixture
def logged(processed, train_params, monkeypatch, repository):
    """(model URI, tracking URI) of a trained and logged model."""
    from mlflow import MlflowClient

    from stages import train

    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(repository))
    folder = train.run(train_params(epochs=4), Job(KEY)).model
    with recording("train", KEY, {}) as recorder:
        recorder.result = Result(model=folder)
    store = f"sqlite:///{processed.parents[1] / 'mlflow.db'}"
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("lightbox").experiment_id
    (model,) = client.search_logged_models([experiment])
    return model.model_uri, store


def ask(port, payload):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", json.dumps(payload).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["predictions"]


def png(image):
    buffer = io.BytesIO()
    Image.fromarray(image.squeeze()).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_served_answers_equal_the_models_own(logged, processed, tmp_path):
    uri, store = logged
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # without our code on its path: what was logged with the model has to do
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"MLFLOW_TRACKING_URI": store}
    environment["PATH"] = f"{os.path.dirname(sys.executable)}{os.pathsep}{environment['PATH']}"
    (tmp_path / "elsewhere").mkdir()
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "models", "serve", "-m", uri, "--env-manager", "local", "-p", str(port), "-w", "1"],
        env=environment, cwd=tmp_path / "elsewhere", start_new_session=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(f"http://127.0.0.1:{port}/ping", server)
        images = np.load(processed / "images.npy")[:3]
        table = {"columns": ["image"], "data": [[png(image)] for image in images]}
        found = ask(port, {"dataframe_split": table})
        model, recipe = load(processed.parents[1] / "models" / str(KEY))
        expected = probabilities(model, images)
        for row, probs in zip(found, expected, strict=True):
            assert row["predicted"] == recipe.classes[probs.argmax()]
            assert [row[f"prob_{name}"] for name in recipe.classes] == pytest.approx(probs.tolist(), abs=1e-5)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def wait_for(url, server, seconds=120):
    deadline = time.monotonic() + seconds
    while True:
        try:
            return urllib.request.urlopen(url, timeout=2)
        except OSError:
            assert server.poll() is None, "the server went away"
            assert time.monotonic() < deadline, f"{url} did not come up"
            time.sleep(0.5)
