"""Where runs are kept, whether that can be reached (asked before any work), and how MLflow is set."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from ..core.errors import UserError
from ..core.paths import project_root

TIMEOUT = 5.0  # seconds
REMEDY = (
    "Start the server, correct MLFLOW_TRACKING_URI, or unset it to write to mlflow.db in this repository. "
    "Nothing has been computed yet."
)
WORKER = "LIGHTBOX_MLFLOW"  # environment variable: the path of the socket of a worker that serves all stages
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # it prints the address with the password
}


def store() -> tuple[str, str | None]:
    """(tracking URI, artifact folder). MLFLOW_TRACKING_URI wins; a server decides about artifacts itself."""
    root = project_root()
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}"
    return uri, str(root / "mlartifacts") if uri.startswith("sqlite:") else None


def experiment_name() -> str:
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "lightbox"


def check_usable(uri: str) -> None:
    """Look at the store before any work, without MLflow, which takes seconds to import.

    Raises:
        UserError: the file is damaged, locked or another program's; or no MLflow server answers there.
    """
    scheme = urlsplit(uri).scheme
    if scheme == "sqlite":
        check_file(Path(uri.removeprefix("sqlite:///")))
    elif scheme in ("http", "https"):
        check_server(uri)


def check_file(path: Path) -> None:
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(path, timeout=TIMEOUT, isolation_level=None)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            database.execute("BEGIN IMMEDIATE")
            database.execute("ROLLBACK")
    except sqlite3.Error as error:
        raise UserError(
            f"{path}: MLflow cannot write to its database ({error}). If another program holds it, end that. If it is "
            "damaged, move it away: MLflow makes a new one, and no model is lost. Nothing has been computed yet."
        ) from None
    if tables and "experiments" not in tables:
        raise UserError(
            f"{path}: a database, but not MLflow's: it has no table `experiments`. Move it away, or name another one "
            "with MLFLOW_TRACKING_URI. Nothing has been computed yet."
        )


def check_server(uri: str) -> None:
    """The request is the one MLflow's client makes, with its TLS settings."""
    import requests

    try:
        answer = requests.get(f"{uri.rstrip('/')}/health", timeout=TIMEOUT, verify=verification())
    except requests.RequestException as error:
        raise UserError(f"MLFLOW_TRACKING_URI={uri}: the server does not answer ({error}). {REMEDY}") from None
    # 401 and 403: it is there, and wants credentials, which the client sends
    if not answer.ok and answer.status_code not in (401, 403):
        code = answer.status_code
        raise UserError(f"MLFLOW_TRACKING_URI={uri}: no MLflow server there (HTTP {code}). {REMEDY}")


def verification() -> bool | str:
    """What MLflow documents for its client: no verification, a certificate bundle, or the usual."""
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() == "true":
        return False
    return os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True
