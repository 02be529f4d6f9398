"""python -m stages.shared.tracking.registry models:/name@alias

Which version that is, and where its weights lie on this machine, as one JSON line. Versions never change, so each is
downloaded once, to .lightbox/registry/<name>/<version>/.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock

from ..core.credentials import without_credentials
from ..core.errors import UserError, unknown
from ..core.paths import project_root
from ..model.recipe import WEIGHTS
from .refusals import refusals
from .store import QUIET, check_usable, store


def main(uri: str) -> int:
    os.environ.update({**QUIET, **os.environ})  # before MLflow is imported
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # MLflow prints on stdout as it likes: to stderr from here on
    try:
        version, path = fetch(uri)
        print(json.dumps({"version": version, "path": str(path)}), file=answers)
    except UserError as error:
        print(json.dumps({"error": str(error)}), file=answers)
        return 1
    return 0


def fetch(uri: str) -> tuple[str, Path]:
    """(models:/name/version, its weights file).

    Raises:
        UserError: the registry cannot be reached, does not know that name, alias or version, or has a model that is
            not of this project.
    """
    from mlflow.exceptions import MlflowException

    address, _ = store()
    check_usable(address)
    if address.startswith("sqlite:///") and not Path(address.removeprefix("sqlite:///")).exists():
        raise UserError(f"{uri}: there is no registry yet ({address}). Train a model and register it in MLflow first.")
    try:
        name, version = resolve(uri, address)
        return f"models:/{name}/{version}", weights_of(name, version, address)
    except MlflowException as error:
        raise UserError(f"{uri}: MLflow refused: {error}. Registry: {address}.") from None


def resolve(uri: str, address: str) -> tuple[str, str]:
    """(name, version)."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

    client = MlflowClient(address, address)
    name, _, alias = uri.removeprefix("models:/").partition("@")
    name, _, version = name.partition("/")
    try:
        aliases = client.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            raise
        names = [model.name for model in client.search_registered_models(max_results=1000)]
        raise unknown(f"{uri}: registered models", name, names) from None
    if alias:
        if alias not in aliases:
            raise unknown(f"{uri}: aliases of {name}", alias, aliases)
        return name, str(aliases[alias])
    versions = [str(entry.version) for entry in client.search_model_versions(f"name = '{name}'")]
    if version not in versions:
        raise unknown(f"{uri}: versions of {name}", version, versions)
    return name, version


def weights_of(name: str, version: str, address: str) -> Path:
    files = sorted(download(name, version, address).rglob(WEIGHTS))
    if len(files) != 1:
        raise UserError(
            f"models:/{name}/{version}: has {len(files)} files called {WEIGHTS}; a model of this project has one. "
            "Choose a version that `python -m stages train` logged."
        )
    return files[0]


def download(name: str, version: str, address: str) -> Path:
    """The folder of a version's files. Downloaded beside its final place and moved there whole.

    Raises:
        UserError: what keeps the files refuses.
    """
    import mlflow

    # a version's number begins again in another registry: its address is part of the place
    registry = quote(without_credentials(address), "")
    folder = project_root() / ".lightbox" / "registry" / registry / quote(name, "") / version
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{version}.lock")):
        if not folder.exists():
            partial = folder.with_name(f".{version}.partial")
            shutil.rmtree(partial, ignore_errors=True)  # of a download that was killed
            partial.mkdir()
            mlflow.set_tracking_uri(address)
            place = mlflow.MlflowClient(address, address).get_model_version_download_uri(name, version)
            with refusals(address, place):
                mlflow.artifacts.download_artifacts(f"models:/{name}/{version}", dst_path=str(partial))
            os.replace(partial, folder)
    return folder


def export_in(folder: Path, version: str) -> Path:
    """The exported model among a version's files: the folder `export`."""
    certificates = sorted(folder.rglob("export/certificate.json"))
    if len(certificates) != 1:
        raise UserError(
            f"{version}: has {len(certificates)} exports (folders `export` with a certificate.json); a model that can "
            "be served has one. Register it with `python -m stages promote`."
        )
    return certificates[0].parent


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
