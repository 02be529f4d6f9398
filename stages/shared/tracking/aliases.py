"""The registered model of one name: its versions, and the aliases that say which of them is in use.

A registered version holds the model as MLflow serves it and, in the folder `export`, the export that Lightbox serves.
MLflow is imported when a registry is opened.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..core.errors import unknown
from ..core.paths import project_root
from .refusals import refusals
from .registry import download, export_in
from .store import QUIET, check_usable, store

EXPORT = "export"  # the folder of a version's artifacts
DIGEST = "digest"  # the tag by which a version is found again


@dataclass(frozen=True)
class Version:
    """`number`: as MLflow counts them, from 1. `key`, `digest`: of the model; empty: registered by hand."""

    number: str
    key: str
    digest: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Registry:
    """`client`: MLflow's."""

    name: str
    address: str
    client: Any

    def alias(self, alias: str) -> Version | None:
        """The version that the alias points at; None where there is no such alias, or no model of this name yet."""
        with refusals(self.address):
            model = self._model()
            number = model.aliases.get(alias) if model else None
            return None if number is None else self.version(str(number))

    def version(self, number: str) -> Version:
        """Raises UserError when there is none of this number."""
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode

        absent = {ErrorCode.Name(code) for code in (RESOURCE_DOES_NOT_EXIST, INVALID_PARAMETER_VALUE)}
        with refusals(self.address):
            try:  # a search would give the first page alone
                tags = dict(self.client.get_model_version(self.name, number).tags)
            except MlflowException as error:
                if error.error_code not in absent:
                    raise
                entries = self.client.search_model_versions(f"name = '{self.name}'")
                raise unknown(f"{self.name}: versions", number, [str(entry.version) for entry in entries]) from None
        return Version(number, tags.get("key", ""), tags.get(DIGEST, ""), tags)

    def point(self, alias: str, number: str) -> None:
        """One write, which is whole or not at all; the last of two at once wins."""
        with refusals(self.address):
            self.client.set_registered_model_alias(self.name, alias, number)

    def forget(self, alias: str) -> None:
        with refusals(self.address):
            self.client.delete_registered_model_alias(self.name, alias)

    def tag(self, number: str, tag: str, value: str) -> None:
        with refusals(self.address):
            self.client.set_model_version_tag(self.name, number, tag, value)

    def same(self, digest: str) -> Version | None:
        """The newest version of this model."""
        with refusals(self.address):
            entries = self.client.search_model_versions(f"name = '{self.name}' and tags.{DIGEST} = '{digest}'")
            numbers = sorted(int(entry.version) for entry in entries)
        return self.version(str(numbers[-1])) if numbers else None

    def export(self, version: Version) -> Path:
        """The folder of a version's export on this machine; downloaded once.

        Raises:
            UserError: it was registered without one, or its files cannot be read.
        """
        with refusals(self.address):
            return export_in(download(self.name, version.number, self.address), f"models:/{self.name}/{version.number}")

    def register(self, model: Path, export: Path, digest: str, first: Mapping[str, Any]) -> Version:
        """A new version, from models/<key> and models/onnx/<key>. `first`: what opens its run (recording.py)."""
        import mlflow

        from .package import log_model
        from .worker import open_run, prepare

        prepare(self.address)
        with refusals(self.address), tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / EXPORT
            shutil.copytree(export, copy)
            open_run(first)
            tags = {"key": export.name, DIGEST: digest}
            try:
                with refusals(self.address, mlflow.get_artifact_uri()):
                    info = log_model(model, copy)
                entry = mlflow.register_model(info.model_uri, self.name, tags=tags)
            except BaseException:
                mlflow.end_run("FAILED")
                raise
            mlflow.end_run()
        return Version(str(entry.version), export.name, digest, tags)

    def _model(self) -> Any:
        """None where nothing of this name is registered."""
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

        try:
            return self.client.get_registered_model(self.name)
        except MlflowException as error:
            if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                return None
            raise


def open_registry(name: str) -> Registry:
    """The registry of MLFLOW_TRACKING_URI, or the local one, which is made if there is none.

    Raises:
        UserError: it cannot be reached.
    """
    address, _ = store()
    check_usable(address)
    os.environ.update({**QUIET, **os.environ})  # before MLflow is imported
    lock = project_root() / ".lightbox" / "mlflow.lock"  # several processes at once crash in a fresh store's migrations
    lock.parent.mkdir(parents=True, exist_ok=True)
    with refusals(address), FileLock(lock):
        from mlflow import MlflowClient

        return Registry(name, address, MlflowClient(address, address))


def is_empty() -> bool:
    """There is no registry yet: asked without MLflow, which takes seconds to import."""
    address, _ = store()
    return address.startswith("sqlite:///") and not Path(address.removeprefix("sqlite:///")).exists()
