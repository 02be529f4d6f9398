"""The model that answers now; how another one takes over, or is refused."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...shared.core.errors import UserError
from ...shared.core.files import read_json, write_json
from ..service import Service
from .metrics import Metrics

log = logging.getLogger("lightbox.serve")
UNREACHABLE = "The registry gives no model; the log says why."  # not its address: /ready asks for no key


@dataclass(frozen=True)
class Refused:
    """A candidate that did not take over, and why."""

    version: str
    reason: str


class Models:
    """`service` is replaced as a whole: a request that has taken it keeps it to its end.

    open_service(folder, version): reads, checks and warms a model up.
    without_champion: gives the folder of a model to serve while nobody is champion; None: wait for one.
    memory: a file that keeps which champion was served last, for a start while the registry is away.
    """

    def __init__(
        self,
        metrics: Metrics,
        open_service: Callable[[Path, str], Service],
        without_champion: Callable[[], Path] | None = None,
        memory: Path | None = None,
    ) -> None:
        self.service: Service | None = None
        self.refused: Refused | None = None
        self.registry: str | None = None  # what it said last, where that was no version
        self.metrics, self.memory = metrics, memory
        self._open, self._without_champion = open_service, without_champion
        self._heard = threading.Event()

    def serve(self, folder: Path, version: str = "") -> None:
        """The model in `folder` takes over.

        Raises:
            UserError: it is broken; the one before goes on.
        """
        since = time.monotonic()
        service = self._open(folder, version)
        self.service = service
        self.metrics.swap(service.version, service.export.recipe.key)
        seconds = time.monotonic() - since
        log.info("%s answers now: %s, read and warm in %.1f s", service.version, service.export.recipe.key, seconds)

    def offer(self, folder: Path, version: str) -> bool:
        """A candidate takes over, unless it is broken. False: it was refused."""
        try:
            self.serve(folder, version)
        except Exception as error:  # whatever is wrong with it, the model before it has to go on
            own = isinstance(error, UserError)
            message = str(error).partition(" Run `")[0]  # what to run is for who exported it
            reason = message.replace(str(folder), version) if own else f"it cannot be run ({type(error).__name__})"
            self.refused = Refused(version, reason)
            self.metrics.refusal()
            goes_on = f"{self.service.version} goes on" if self.service else "no model answers"
            log.error("%s is refused, %s: %s", version, goes_on, reason)
            return False
        self.refused = None
        return True

    def hear(self, message: Mapping[str, str]) -> None:
        """What the registry says (tracking/follow.py)."""
        try:
            self._follow(message)
        finally:
            self._heard.set()

    def _follow(self, message: Mapping[str, str]) -> None:
        self.registry = UNREACHABLE if "error" in message else message.get("absent")
        if "version" in message:
            self._champion(message["version"], Path(message["path"]))
        elif "error" in message:
            log.error("%s", message["error"])
            if self.service is None:
                self._last_champion()
        elif self.service is not None:
            log.warning("%s; %s goes on", message["absent"], self.service.version)
        elif self._without_champion is not None:
            log.info("%s; the model that validation chose is served", message["absent"])
            self._chosen(self._without_champion)
        else:
            log.warning("%s; waiting for one", message["absent"])

    def wait(self) -> None:
        """Until the registry has been heard once, and what it said was followed."""
        self._heard.wait()

    def _champion(self, version: str, folder: Path) -> None:
        if self.service is not None and self.service.version == version:
            return
        if self.offer(folder, version) and self.memory:
            write_json(self.memory, {"version": version, "path": str(folder)})

    def _last_champion(self) -> None:
        if self.memory and self.memory.is_file():
            last = read_json(self.memory)
            log.warning("the champion of the last start is served: %s", last["version"])
            self.offer(Path(last["path"]), last["version"])

    def _chosen(self, make: Callable[[], Path]) -> None:
        try:
            folder = make()
        except UserError as error:
            log.error("%s", error)
            self.refused = Refused("the model that validation chose", str(error))
        else:
            self.offer(folder, str(folder))
