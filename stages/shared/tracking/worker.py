"""The process that writes to MLflow: JSON lines in on stdin, answers out on stdout. See the package's docstring."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from ..core.errors import UserError
from ..core.paths import project_root
from .store import stdout_for_answers

SAMPLING = 2.0  # seconds between two readings of the machine's load: stages can be short
LONGEST_VALUE = 6000  # characters of a param, MLflow's own limit


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
                log_result(message)
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
    name, tags = first["stage"], {"stage": first["stage"], **first["identity"]}
    if key := first["key"]:
        member = "-".join(key.values())
        name, tags = f"{name}/{member}", {**tags, **key, "key": member}
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


def experiment_and_parent(first: Mapping[str, Any]) -> tuple[str, str]:
    """(experiment id, parent run id), created on first use. Several fresh processes at once crash in the store's
    migrations, and would each make a parent: so one at a time."""
    lock = project_root() / ".lightbox" / "mlflow.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        client, name = MlflowClient(), first["experiment"]
        experiment = client.get_experiment_by_name(name)
        artifacts = Path(first["artifacts"]).as_uri() if first["artifacts"] else None
        number = experiment.experiment_id if experiment else client.create_experiment(name, artifact_location=artifacts)
        name, tags = first["parent"], {"stage": "experiment", **first["identity"]}
        runs = client.search_runs([number], f"tags.stage = 'experiment' and attributes.run_name = '{name}'")
        parent = runs[0] if runs else client.create_run(number, run_name=name, tags=tags)
        return number, str(parent.info.run_id)


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
