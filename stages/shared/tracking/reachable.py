"""Is the tracking server there? Asked before any work, with a short patience."""

from __future__ import annotations

import urllib.error
import urllib.request
from urllib.parse import urlsplit

from ..errors import UserError

PATIENCE = 5.0  # seconds
REMEDY = (
    "Start the server, correct MLFLOW_TRACKING_URI, or unset it to write to mlflow.db in this repository. "
    "Nothing has been computed yet."
)


def check_reachable(uri: str) -> None:
    """Only http(s) can be out of reach.

    Raises:
        UserError: nothing answers there, or what answers is no MLflow server.
    """
    if urlsplit(uri).scheme not in ("http", "https"):
        return
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=PATIENCE) as answer:
            answer.read(1)
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return  # it is there, and asks who we are: the client sends the credentials
        raise UserError(f"MLFLOW_TRACKING_URI={uri}: no MLflow server there (HTTP {error.code}). {REMEDY}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise UserError(f"MLFLOW_TRACKING_URI={uri}: the server does not answer ({reason}). {REMEDY}") from None
