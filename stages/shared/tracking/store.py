"""Where runs are kept, whether the server can be reached (asked before any work), and what MLflow may print."""

from __future__ import annotations

import os
from typing import TextIO
from urllib.parse import urlsplit

from ..core.errors import UserError
from ..core.paths import project_root

TIMEOUT = 5.0  # seconds
REMEDY = (
    "Start the server, correct MLFLOW_TRACKING_URI, or unset it to write to mlflow.db in this repository. "
    "Nothing has been computed yet."
)
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}


def store() -> tuple[str, str | None]:
    """(tracking URI, artifact folder). MLFLOW_TRACKING_URI wins; a server decides about artifacts itself."""
    root = project_root()
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}"
    return uri, str(root / "mlartifacts") if uri.startswith("sqlite:") else None


def experiment_name() -> str:
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "lightbox"


def check_reachable(uri: str) -> None:
    """Only an http(s) server can be unreachable. The request is the one MLflow's client makes, with its TLS settings.

    Raises:
        UserError: nothing answers there, or what answers is no MLflow server.
    """
    if urlsplit(uri).scheme not in ("http", "https"):
        return
    import requests

    shown = hide_password(uri)
    try:
        answer = requests.get(f"{uri.rstrip('/')}/health", timeout=TIMEOUT, verify=verification())
    except requests.RequestException as error:
        reason = str(error).replace(uri, shown)
        raise UserError(f"MLFLOW_TRACKING_URI={shown}: the server does not answer ({reason}). {REMEDY}") from None
    # 401 and 403: it is there, and wants credentials, which the client sends
    if not answer.ok and answer.status_code not in (401, 403):
        code = answer.status_code
        raise UserError(f"MLFLOW_TRACKING_URI={shown}: no MLflow server there (HTTP {code}). {REMEDY}")


def verification() -> bool | str:
    """What MLflow documents for its client: no verification, a certificate bundle, or the usual."""
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() == "true":
        return False
    return os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True


def stdout_for_answers() -> TextIO:
    """This process's stdout, which from now on is for answers alone: what MLflow prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def hide_password(uri: str) -> str:
    parts = urlsplit(uri)
    return uri.replace(f":{parts.password}@", ":***@") if parts.password else uri
