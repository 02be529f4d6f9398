"""What a server remembers of the images that it has seen, for drift: .lightbox/served/<date>.jsonl. Never an image, a
name or an address.

One JSON object a line:
  time           UTC, to the second
  version        of the model, such as models:/lightbox/3
  onnx_sha256    of the model
  features       what its head reads: float16, little-endian, base64
  probabilities  calibrated, in the order of the model's classes
  facts          of the image as it was sent: those of training.npz (training.FACTS)
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ..core.errors import UserError
from ..core.paths import project_root


@dataclass(frozen=True)
class Served:
    """One image. features: F. probabilities: K."""

    time: datetime
    version: str
    onnx_sha256: str
    features: np.ndarray
    probabilities: np.ndarray
    facts: Mapping[str, float]

    def line(self) -> str:
        return json.dumps(
            {
                "time": self.time.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "version": self.version,
                "onnx_sha256": self.onnx_sha256,
                "features": base64.b64encode(self.features.astype("<f2").tobytes()).decode("ascii"),
                "probabilities": [round(float(p), 6) for p in self.probabilities],
                "facts": {name: round(float(value), 4) for name, value in self.facts.items()},
            }
        )

    @classmethod
    def parse(cls, line: str) -> Served:
        """Raises KeyError, TypeError or ValueError on a line that is none of ours."""
        own = json.loads(line)
        return cls(
            datetime.strptime(own["time"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC),
            own["version"],
            own["onnx_sha256"],
            np.frombuffer(base64.b64decode(own["features"]), "<f2").astype(np.float16),
            np.array(own["probabilities"], np.float32),
            own["facts"],
        )


def folder() -> Path:
    return project_root() / ".lightbox" / "served"


def write(rows: Iterable[Served], place: Path) -> None:
    """Append them to the files of their days, each with one write: servers that share the folder do not mix lines."""
    days: dict[str, list[str]] = {}
    for row in rows:
        days.setdefault(f"{row.time:%Y-%m-%d}.jsonl", []).append(row.line() + "\n")
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, lines in days.items():
        descriptor = os.open(place / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, "".join(lines).encode())
        finally:
            os.close(descriptor)


def read(place: Path) -> Iterator[Served]:
    """All images, oldest day first.

    Raises:
        UserError: there is nothing, or a line is damaged.
    """
    files = sorted(place.glob("*.jsonl"))
    if not files:
        raise UserError(f"{place}: a server has written nothing here. `python -m stages serve` does (serve.http.log).")
    for path in files:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield Served.parse(line)
                except (KeyError, TypeError, ValueError) as error:
                    raise UserError(
                        f"{path}: line {number} is no entry of a server ({type(error).__name__}). Delete it."
                    ) from None
