"""The process that writes to MLflow: JSON lines in on stdin, answers out on stdout. See the package's docstring."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any, TextIO

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from ..core.errors import UserError

SAMPLING = 2.0  # seconds between two readings of the machine's load: stages can be short
LONGEST_VALUE = 6000  # characters of a param, MLflow's own limit


def main() -> None:
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in ("The specified dataset source can be interpreted", "Hint: Inferred schema contains integer"):
        warnings.filterwarnings("ignore", message=message)  # both are about the table, which is as it is meant
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # MLflow and what it starts print on stdout as they like: to stderr from here on
    try:
        serve(answers)
    except UserError as error:
        answer(answers, error=str(error))
        sys.exit(1)
    except (MlflowException, OSError) as error:
        answer(answers, error=f"MLflow refused: {error}. Tracking URI: {mlflow.get_tracking_uri()}.")
        sys.exit(1)


def serve(answers: TextIO) -> None:
    first = json.loads(sys.stdin.readline() or "null")
    if first is None:
        return  # the stage died before it sent anything
    parent, status = None, "FAILED"  # unless we hear otherwise before the pipe closes
    try:
        parent = open_run(first)
        answer(answers, state="started")
        for line in sys.stdin:
            message = json.loads(line)
            if message["do"] == "metrics":
                mlflow.log_metrics(message["metrics"], step=message["step"])
            elif message["do"] == "finish":
                log_result(message)
                status = message["status"]
                break
    finally:
        mlflow.end_run(status)
        if parent:
            MlflowClient().set_terminated(parent, status)
    answer(answers, state="finished")


def answer(answers: TextIO, **values: Any) -> None:
    with contextlib.suppress(BrokenPipeError):  # the stage has ended, so nobody reads this
        print(json.dumps(values), file=answers, flush=True)


def open_run(first: dict[str, Any]) -> str:
    """Start the stage's run below its parent; returns the parent's id."""
    experiment_id, parent = experiment_and_parent(first)
    key = first["key"] or {}
    name = first["stage"] + ("/" + "-".join(key.values()) if key else "")
    tags = {"stage": first["stage"], **identity(first), **key}
    if key:
        tags["key"] = "-".join(key.values())
    mlflow.set_system_metrics_sampling_interval(SAMPLING)  # type: ignore[no-untyped-call]
    mlflow.set_system_metrics_samples_before_logging(1)  # type: ignore[no-untyped-call]
    mlflow.start_run(
        experiment_id=experiment_id, run_name=name, tags=tags, parent_run_id=parent, log_system_metrics=True
    )
    mlflow.log_params({param_name(k): str(v)[:LONGEST_VALUE] for k, v in flatten(first["params"]).items()})
    return parent


def param_name(name: str) -> str:
    """MLflow refuses other characters, and a class may be called "pneumonia (viral)"."""
    return re.sub(r"[^\w.\-/: ]", "_", name)


def identity(first: dict[str, Any]) -> dict[str, str]:
    """The tags that tie a run to DVC and git."""
    tags = {"commit": first["commit"], "dvc_experiment": first["dvc_experiment"]}
    return {name: value for name, value in tags.items() if value}


def experiment_and_parent(first: dict[str, Any]) -> tuple[str, str]:
    """(experiment id, parent run id), created on first use. Several fresh processes at once crash in the store's
    migrations, and would each make a parent: so one at a time."""
    lock = Path(first["lock"])
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        client = MlflowClient()
        experiment = client.get_experiment_by_name(first["experiment"])
        experiment_id = experiment.experiment_id if experiment else create_experiment(client, first)
        name = first["dvc_experiment"] or f"workspace@{(first['commit'] or 'no commit')[:9]}"
        runs = client.search_runs([experiment_id], f"tags.stage = 'experiment' and attributes.run_name = '{name}'")
        tags = {"stage": "experiment", **identity(first)}
        parent = runs[0] if runs else client.create_run(experiment_id, run_name=name, tags=tags)
        return experiment_id, str(parent.info.run_id)


def create_experiment(client: MlflowClient, first: dict[str, Any]) -> str:
    artifacts = Path(first["artifacts"]).as_uri() if first["artifacts"] else None
    return client.create_experiment(first["experiment"], artifact_location=artifacts)


def flatten(values: Any, path: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys; lists stay whole."""
    if not isinstance(values, dict):
        return {path: values}
    return {
        k: v for name, inner in values.items() for k, v in flatten(inner, f"{path}.{name}" if path else name).items()
    }


def log_result(message: dict[str, Any]) -> None:
    mlflow.log_metrics(message["metrics"])
    for figure in message["figures"]:
        mlflow.log_artifact(figure, "figures")
    if message["dataset"]:
        log_dataset(Path(message["dataset"]))
    if message["model"]:
        from .package import log_model

        log_model(Path(message["model"]))


def log_dataset(manifest: Path) -> None:
    import pandas as pd
    from mlflow.data.pandas_dataset import from_pandas

    table = pd.read_parquet(manifest)
    table["label"] = table["label"].astype(str)
    dataset = from_pandas(table, source=str(manifest.resolve()), targets="label", name="manifest")
    mlflow.log_input(dataset, context="validation")


if __name__ == "__main__":
    main()
