"""What a monitoring system asks a server, in the text format of Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

PATHS = ("/predict", "/health", "/ready", "/version", "/metrics")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
IMAGES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Of one server, not of the process: tests start several."""

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        self._requests = Counter("lightbox_requests", "Requests by path and status.", ["path", "status"], registry=own)
        self._seconds = Histogram(
            "lightbox_request_seconds", "From a request to its answer.", ["path"], buckets=SECONDS, registry=own
        )
        self._batches = Histogram(
            "lightbox_batch_images", "Images in one call of the model.", buckets=IMAGES, registry=own
        )
        self._answers = Counter(
            "lightbox_answers", "Answers by model version and predicted class.", ["version", "predicted"], registry=own
        )
        self._abstentions = Counter(
            "lightbox_abstentions", "Answers that leave the image to a human.", ["version"], registry=own
        )
        self._model = Gauge("lightbox_model", "1 for the model that answers.", ["version", "key"], registry=own)
        self._swaps = Counter("lightbox_swaps", "Models that took over.", registry=own)
        self._refused = Counter("lightbox_refused_models", "Candidates that were broken.", registry=own)

    def request(self, path: str, status: int, seconds: float) -> None:
        path = path if path in PATHS else "other"  # else anybody could make as many time series as he likes
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def batch(self, images: int) -> None:
        self._batches.observe(images)

    def answer(self, version: str, predicted: str, abstain: bool) -> None:
        self._answers.labels(version, predicted).inc()
        self._abstentions.labels(version).inc(int(abstain))

    def swap(self, version: str, key: str) -> None:
        self._model.clear()
        self._model.labels(version, key).set(1)
        self._swaps.inc()

    def refusal(self) -> None:
        self._refused.inc()

    def text(self) -> bytes:
        return generate_latest(self.registry)
