"""The process that writes to MLflow: JSON lines in on stdin, answers out on stdout. See the package's docstring."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
import warnings
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, TextIO

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Param
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from ..core.errors import UserError
from ..core.paths import PROCESSED, project_root
from .store import stdout_for_answers

SAMPLING = 2.0  # seconds between two readings of the machine's load: stages can be short
LONGEST_VALUE = 6000  # characters of a param, MLflow's own limit
EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",  # else the UI opens on GenAI traces
    "mlflow.note.content": "One run per study (commit and params.yaml, or DVC experiment), and below it one per stage. "
    'To compare models, filter by `tags.stage = "evaluate"` and sort by the metrics of the section `val`.',
}
STUDY_NOTE = "A whole study: its settings, its images, and the validation metric of the model that it chose."


def main() -> None:
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in ("The specified dataset source can be interpreted", "Hint: Inferred schema contains integer"):
        warnings.filterwarnings("ignore", message=message)  # both are about the table, which is as it is meant
    answers = stdout_for_answers()
    try:
        serve(answers)
    except UserError as error:
        answer(answers, error=str(error))
        sys.exit(1)
    except (MlflowException, OSError) as error:
        answer(answers, error=f"MLflow refused: {error}. Tracking URI: {mlflow.get_tracking_uri()}.")
        sys.exit(1)


def serve(answers: TextIO) -> None:
    """One run, from the stage's first message to its last."""
    first = json.loads(sys.stdin.readline() or "null")
    if first is None:
        return  # the stage died before it sent anything
    parent, status = None, "FAILED"  # unless we hear otherwise before the pipe closes
    try:
        parent = open_run(first)
        answer(answers, state="started")
        for message in map(json.loads, sys.stdin):
            if message["do"] == "metrics":
                mlflow.log_metrics(message["metrics"], step=message["step"])
            else:
                log_result(message, parent)
                status = "FINISHED"
                break
    finally:
        mlflow.end_run(status)
        if parent:
            MlflowClient().set_terminated(parent, status)
    answer(answers, state="finished")


def answer(answers: TextIO, **values: Any) -> None:
    with contextlib.suppress(BrokenPipeError):  # the stage has ended, so nobody reads this
        print(json.dumps(values), file=answers, flush=True)


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


def log_result(message: dict[str, Any], parent: str) -> None:
    active = mlflow.active_run()
    assert active is not None
    runs = [active.info.run_id, parent] if message["of_study"] else [active.info.run_id]
    datasets = [dataset_input(use, rows) for use, rows in message["datasets"].items()]
    for run in runs:
        mlflow.log_metrics(message["metrics"], run_id=run)
        MlflowClient().log_inputs(run, datasets)
    for figure in message["figures"]:
        mlflow.log_artifact(figure, "figures")
    if message["model"]:
        from .package import log_model

        log_model(Path(message["model"]))


def dataset_input(use: str, rows: Mapping[str, list[str]]) -> DatasetInput:
    """The images that a run used, as MLflow lists them. `rows`: the table by columns."""
    import pandas as pd
    from mlflow.data.pandas_dataset import from_pandas

    source = str(PROCESSED / "index.parquet")
    dataset = from_pandas(pd.DataFrame(rows), source=source, targets="label", name=f"{use} images")
    return DatasetInput(Dataset(**dataset.to_dict()), [InputTag(MLFLOW_DATASET_CONTEXT, use)])


if __name__ == "__main__":
    main()
