"""One thread that runs models, on the images of several requests at once."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from ..service import Answer, Service


@dataclass(frozen=True)
class _Request:
    service: Service
    image: np.ndarray
    future: Future[Answer] = field(default_factory=Future)


class Batcher:
    """Images that arrive within a short window are predicted together, which costs less than one after the other.

    A request that is alone does not wait: the window is kept open only while others are being prepared. All images of
    a batch are for one model: while models are swapped, each request gets the model that prepared its image.

    window: seconds. largest: images of a batch. observe(images): called once for each call of a model.
    """

    def __init__(self, window: float, largest: int, observe: Callable[[int], None] = lambda images: None) -> None:
        self.window, self.largest, self.observe = window, largest, observe
        self._queue: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._ahead: _Request | None = None  # taken from the queue, for another model than the batch
        self._lock, self._preparing = threading.Lock(), 0
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """While an image is decoded that will be submitted next: a batch may wait for it."""
        with self._lock:
            self._preparing += 1
        try:
            yield
        finally:
            with self._lock:
                self._preparing -= 1

    def submit(self, service: Service, image: np.ndarray) -> Future[Answer]:
        """image: as `service` prepared it, uint8 H×W×C."""
        request = _Request(service, image)
        self._queue.put(request)
        return request.future

    def close(self) -> None:
        """Answers what has been submitted, then ends the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while batch := self._collect():
            batch = [request for request in batch if request.future.set_running_or_notify_cancel()]
            if not batch:
                continue
            if not self._answered(batch) and len(batch) > 1:  # which of them was it? The others get their answers
                for request in batch:
                    self._answered([request])

    def _answered(self, batch: list[_Request]) -> bool:
        """Whether they have their answers. One alone gets its error as well."""
        try:
            answers = batch[0].service.predict(np.stack([request.image for request in batch]))
            self.observe(len(batch))
        except Exception as error:  # it belongs to who waits for the answer
            if len(batch) == 1:
                batch[0].future.set_exception(error)
            return False
        for request, answer in zip(batch, answers, strict=True):
            request.future.set_result(answer)
        return True

    def _collect(self) -> list[_Request]:
        """Requests for one model; empty at the end."""
        first = self._ahead or self._queue.get()
        self._ahead = None
        if first is None:
            return []
        batch, end = [first], time.monotonic() + self.window
        while len(batch) < self.largest:
            try:
                wait = end - time.monotonic() if self._preparing else 0
                request = self._queue.get(timeout=wait) if wait > 0 else self._queue.get_nowait()
            except queue.Empty:
                break
            if request is None:
                self._queue.put(None)  # read again when this batch is answered
                break
            if request.service is not first.service:
                self._ahead = request
                break
            batch.append(request)
        return batch
