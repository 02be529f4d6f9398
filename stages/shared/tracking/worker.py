"""The process that writes to MLflow: messages of the stages come in, and answers go back."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from hashlib import sha256
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_PARENT_RUN_ID

from ..core.errors import UserError
from ..core.paths import PROCESSED, project_root
from .refusals import refusals

SAMPLING = 2.0  # seconds between two readings of the machine's load: stages can be short
ONE_MODEL = threading.Lock()  # MLflow keeps the model that it logs in a global variable
LONGEST_VALUE = 6000  # characters of a param, MLflow's own limit
EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",  # else the UI opens on GenAI traces
    "mlflow.note.content": "One run per study (commit and params.yaml, or DVC experiment), and below it one per stage. "
    'To compare models, filter by `tags.stage = "evaluate"` and sort by the metrics of the section `val`.',
}
STUDY_NOTE = "A whole study: its settings, its images, and the validation metric of the model that it chose."


def listen(address: str, uri: str, lifeline: int) -> None:
    """Serve any number of stages at this socket, each in a thread, until the file `lifeline` ends and they have."""
    prepare(uri)
    threading.Thread(target=accept, args=(Listener(address, "AF_UNIX", backlog=64),), daemon=True).start()
    os.read(lifeline, 1)
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join()


def accept(listener: Listener) -> None:
    while True:
        threading.Thread(target=serve, args=(listener.accept(),), daemon=False).start()


def prepare(uri: str) -> None:
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in ("The specified dataset source can be interpreted", "Hint: Inferred schema contains integer"):
        warnings.filterwarnings("ignore", message=message)  # both are about the table, which is as it is meant
    mlflow.set_tracking_uri(uri)


def serve(stage: Connection) -> None:
    """Write one run, from the stage's first message to its last; answers are pairs of a state and an error or None."""
    try:
        record(stage)
        reason = None
    except UserError as error:
        reason = str(error)
    except Exception as error:  # MLflow's own, or of the libraries below it
        reason = f"MLflow refused: {error} ({type(error).__name__}). Tracking URI: {mlflow.get_tracking_uri()}."
    answer(stage, "finished", reason)
    stage.close()


def record(stage: Connection) -> None:
    parent, status = None, "FAILED"  # unless we hear otherwise before the connection closes
    try:
        parent = open_run(stage.recv())
        answer(stage, "started")
        while (message := stage.recv()) and ("step" in message or "part" in message):
            if "part" in message:
                log_part(message)
            else:
                mlflow.log_metrics(message["metrics"], step=message["step"])
        if message:
            log_result(parent=parent, **message)
            status = "FINISHED"
    except (EOFError, ConnectionResetError):
        pass  # the stage has died
    finally:
        mlflow.end_run(status)
        if parent:
            MlflowClient().set_terminated(parent, status)


def answer(stage: Connection, state: str, error: str | None = None) -> None:
    with contextlib.suppress(BrokenPipeError):  # the stage has ended, so nobody reads this
        stage.send((state, error))


def open_run(first: Mapping[str, Any]) -> str:
    """Start the stage's run below its parent; returns the parent's id."""
    experiment_id, parent = experiment_and_parent(first)
    stage, key = first["stage"], first["key"]
    name, tags = stage, {"stage": stage, **first["identity"], **described(f"python -m stages {stage}", first["about"])}
    if key:  # what tells models apart comes first: the UI cuts long names
        name = f"{key['strategy']}, {key['sample']}, {key['backbone']}: {stage}"
        tags |= {**key, "key": "-".join(key.values())}
    mlflow.set_system_metrics_sampling_interval(SAMPLING)  # type: ignore[no-untyped-call]
    mlflow.set_system_metrics_samples_before_logging(1)  # type: ignore[no-untyped-call]
    mlflow.start_run(
        experiment_id=experiment_id, run_name=name, tags=tags, parent_run_id=parent, log_system_metrics=True
    )
    mlflow.log_params(params_of(first["params"]))
    return parent


def described(command: str, about: str) -> dict[str, str]:
    """The tags from which the UI shows where a run came from and what it is."""
    return {"mlflow.source.name": command, "mlflow.source.type": "LOCAL", "mlflow.note.content": about}


def params_of(values: Mapping[str, Any]) -> dict[str, str]:
    return {param_name(name): str(value)[:LONGEST_VALUE] for name, value in flatten(values).items()}


def param_name(name: str) -> str:
    """MLflow refuses other characters, and a class may be called "pneumonia (viral)"."""
    return re.sub(r"[^\w.\-/: ]", "_", name)


def experiment_and_parent(first: Mapping[str, Any]) -> tuple[str, str]:
    """(experiment id, parent run id), created on first use. Several fresh processes at once crash in the store's
    migrations, and would each make a parent: so one at a time."""
    lock = project_root() / ".lightbox" / "mlflow.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        client, name = MlflowClient(), first["experiment"]
        experiment = client.get_experiment_by_name(name)
        artifacts = Path(first["artifacts"]).as_uri() if first["artifacts"] else None
        if experiment:
            number = experiment.experiment_id
        else:
            number = client.create_experiment(name, artifact_location=artifacts, tags=EXPERIMENT_TAGS)
        name, settings = first["parent"], params_of(first["study"])
        digest = sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]  # other settings, other study
        condition = f"tags.stage = 'experiment' and tags.settings = '{digest}' and attributes.run_name = '{name}'"
        if runs := client.search_runs([number], condition):
            return number, str(runs[0].info.run_id)
        tags = {"stage": "experiment", "settings": digest, **first["identity"], **described("dvc repro", STUDY_NOTE)}
        parent = str(client.create_run(number, run_name=name, tags=tags).info.run_id)
        client.log_batch(parent, params=[Param(*pair) for pair in settings.items()])
        return number, parent


def flatten(values: Any, path: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys; lists stay whole."""
    if not isinstance(values, dict):
        return {path: values}
    return {
        k: v for name, inner in values.items() for k, v in flatten(inner, f"{path}.{name}" if path else name).items()
    }


def log_result(
    metrics: dict[str, float],
    figures: Sequence[Path],
    model: Path | None,
    datasets: Mapping[str, Mapping[str, list[str]]],
    of_study: bool,
    parent: str,
) -> None:
    active = mlflow.active_run()
    assert active is not None
    inputs = [dataset_input(use, rows) for use, rows in datasets.items()]
    for run in [active.info.run_id, parent] if of_study else [active.info.run_id]:
        mlflow.log_metrics(metrics, run_id=run)
        MlflowClient().log_inputs(run, inputs)
    with refusals(mlflow.get_tracking_uri(), mlflow.get_artifact_uri()):
        for figure in figures:
            mlflow.log_artifact(str(figure), "figures")
        if model:
            from .package import log_model

            with ONE_MODEL:
                log_model(model)


def log_part(message: Mapping[str, Any]) -> None:
    """A finished run below the active one."""
    active, client = mlflow.active_run(), MlflowClient()
    assert active is not None
    stage = active.data.tags["stage"]
    tags = {MLFLOW_PARENT_RUN_ID: active.info.run_id, "stage": f"{stage}_part"}
    run = client.create_run(active.info.experiment_id, run_name=message["part"], tags=tags).info.run_id
    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, 0) for name, value in message["metrics"].items()]
    for name, values in message["curve"].items():
        metrics += [Metric(name, value, now, step) for step, value in enumerate(values)]
    params = [Param(*pair) for pair in params_of(message["params"]).items()]
    client.log_batch(run, metrics=metrics, params=params)
    client.set_terminated(run)


def dataset_input(use: str, rows: Mapping[str, list[str]]) -> DatasetInput:
    """The images that a run used, as MLflow lists them. `rows`: the table by columns."""
    import pandas as pd
    from mlflow.data.pandas_dataset import from_pandas

    source = str(PROCESSED / "index.parquet")
    dataset = from_pandas(pd.DataFrame(rows), source=source, targets="label", name=f"{use} images")
    return DatasetInput(Dataset(**dataset.to_dict()), [InputTag(MLFLOW_DATASET_CONTEXT, use)])
