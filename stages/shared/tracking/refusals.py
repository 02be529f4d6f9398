"""Errors of MLflow, and of what it keeps its files on, as ones for people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..core.errors import UserError

LIBRARIES = frozenset({"mlflow", "requests", "urllib3", "sqlalchemy"})
CLIENTS = {
    "boto3": "boto3", "botocore": "boto3", "s3transfer": "boto3", "azure": "azure-storage-blob",
    "google": "google-cloud-storage", "pysftp": "pysftp", "paramiko": "pysftp", "pyarrow": "pyarrow",
}  # fmt: skip
"""Of artifact stores, and what to install for each. MLflow imports the one that an address asks for, and passes its
errors on as they are."""


@contextmanager
def refusals(address: str, artifacts: str = "") -> Iterator[None]:
    """`address`: of the registry. `artifacts`: of the files that are read or written, where there are any.

    Raises:
        UserError: instead of an error of MLflow or of an artifact store, with the addresses and what to do.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not is_refusal(error):
            raise
        raise UserError(reason(error, address, artifacts)) from None


def is_refusal(error: Exception) -> bool:
    if isinstance(error, ImportError):
        return missing_client(error) is not None
    module = type(error).__module__
    if module.startswith("google."):  # which is a house of many: protobuf's errors are no refusals
        return module.startswith(("google.cloud.", "google.api_core.", "google.auth.", "google.resumable_media."))
    return module.partition(".")[0] in {*LIBRARIES, *CLIENTS}


def missing_client(error: ImportError) -> str | None:
    """The package that MLflow needs for this artifact store and that is not installed."""
    return CLIENTS.get((error.name or "").partition(".")[0])


def reason(error: Exception, address: str, artifacts: str) -> str:
    where = f"Registry: {address}." + (f" Artifacts: {artifacts}." if artifacts else "")
    return " ".join(filter(None, [f"MLflow refused: {str(error).rstrip('.')}.", where, remedy(error, artifacts)]))


def remedy(error: Exception, artifacts: str) -> str:
    package = missing_client(error) if isinstance(error, ImportError) else None
    if package:
        return f"Install what reads that address: pip install {package}"
    if artifacts:
        return (
            "Can that place be reached, is it there, and are its credentials set (docs/retraining.md)? For S3: "
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and MLFLOW_S3_ENDPOINT_URL where it is not Amazon's."
        )
    return ""
