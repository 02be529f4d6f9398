"""What a server has seen, and the export of the model that saw it: features of two models cannot be compared."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from ..shared.core.errors import UserError
from ..shared.core.files import read_json
from ..shared.exported import certificate, served
from ..shared.exported.export import ROOT, Export
from ..shared.exported.served import Served
from ..shared.exported.training import FACTS
from .read import New, patients, sample

REGISTERED = "models:/"


@dataclass(frozen=True)
class Seen:
    """Images that one network has seen in these days. version: the last one that had it. others: how many images other
    networks have seen."""

    version: str
    onnx_sha256: str
    rows: tuple[Served, ...]
    days: int
    others: int


def seen(place: Path, days: int, network: str | None = None, now: datetime | None = None) -> Seen:
    """Those of the network that answered last, or of the one whose model.onnx has the SHA-256 `network`. Versions may
    share a network: another threshold gives another version, and the same features and probabilities.

    Raises:
        UserError: the log is missing or damaged, or has no such image.
    """
    since = (now or datetime.now(UTC)) - timedelta(days=days)
    rows = [row for row in served.read(place) if row.time >= since]
    if not rows:
        raise UserError(f"{place}: no image in the last {days} days. Look further back: drift.days.")
    asked = [row for row in rows if network in (None, row.onnx_sha256)]
    if not asked:
        versions = ", ".join(sorted({row.version for row in rows}))
        raise UserError(
            f"{place}: in the last {days} days the model of --model has answered nothing; it was {versions}. Leave "
            "--model out, or look further back: drift.days."
        )
    last = max(asked, key=lambda row: row.time)
    own = [row for row in rows if row.onnx_sha256 == last.onnx_sha256]
    return Seen(last.version, last.onnx_sha256, tuple(own), days, len(rows) - len(own))


def export_of(own: Seen) -> Export:
    """The export of the version that the log names: from the registry, or, where a folder was served, that folder.

    Raises:
        UserError: it cannot be found, or has another network now.
    """
    if own.version.startswith(REGISTERED):
        export = Export.read(registered(own.version))
        if export.certificate.onnx_sha256 != own.onnx_sha256:
            raise UserError(
                f"{own.version}: another network than the one in the server's log. Is this the registry that the "
                "server follows? Set MLFLOW_TRACKING_URI to it."
            )
        return export
    for folder in (Path(own.version), *sorted(ROOT.glob("*"))):
        if network_of(folder) == own.onnx_sha256:
            return Export.read(folder)
    raise UserError(
        f"{own.version}: the export that the server used is neither there nor in {ROOT}; it was replaced, or is on "
        "another machine. Copy it to here, or ask again when the server has used the new one."
    )


def registered(version: str) -> Path:
    """models:/name/number -> the folder of its export.

    Raises:
        UserError: there is no registry here, it cannot be reached, or does not have that version.
    """
    from ..shared.tracking.aliases import is_empty, open_registry

    if is_empty():
        raise UserError(
            f"{version}: the server's model is registered, and there is no registry here. Set MLFLOW_TRACKING_URI to "
            "the one that the server follows."
        )
    name, _, number = version.removeprefix(REGISTERED).rpartition("/")
    registry = open_registry(name)
    return registry.export(registry.version(number))


def network_of(folder: Path) -> str | None:
    """SHA-256 of model.onnx as the certificate has it; None where there is none that can be read."""
    try:
        return str(read_json(folder / certificate.FILE)["onnx_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def images(own: Seen) -> New:
    """Without those that were sent again. The log has no names, so each image counts as a patient."""
    features = np.stack([row.features for row in own.rows])
    columns = {name: np.array([row.facts[name] for row in own.rows], np.float64) for name in FACTS}
    names, known = patients([""] * len(own.rows))
    everything = sample(features, columns, names, np.stack([row.probabilities for row in own.rows]))
    kept = first_of_each(features)
    source = f"the images that the network of {own.version} has seen on a server in the last {own.days} days"
    return New(everything.take(kept), source, known, known=len(own.rows) - len(kept), others=own.others)


def first_of_each(features: np.ndarray) -> np.ndarray:
    """Rows, in order, without repeats."""
    return np.asarray(np.sort(np.unique(features, axis=0, return_index=True)[1]))
