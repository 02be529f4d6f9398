"""One measured piece of work in a process of its own: a JSON job as the argument, a JSON answer as the last line."""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from typing import Any

from meter import Waiting, anonymous

CONTENDERS = {"a": "usual", "b": "with_fastai", "c": "pipeline"}
IMPORTS = {
    "a": ["torchvision", "cv2", "safetensors.torch"],
    "b": ["fastai.vision.all"],
    "c": ["stages.train.stage", "albumentations"],
}


def main(job: dict[str, Any]) -> dict[str, Any]:
    if job["work"] == "train":
        return measured(job)
    import films

    if job["work"] == "prepare":
        found = films.prepare(job["images"], job["count"], job["size"], job["film"])
        for network in job["networks"]:
            films.random_weights(network)
        return found
    films.sparse(job["rows"], job["size"])
    films.random_weights(job["network"])
    return {}


def measured(job: dict[str, Any]) -> dict[str, Any]:
    """Imports are not counted; reading the data, making the model, training and validating are."""
    for name in IMPORTS[job["contender"]]:
        importlib.import_module(name)
    contender = importlib.import_module(CONTENDERS[job["contender"]])
    before = anonymous()
    start = time.perf_counter()
    with Waiting() as waiting:
        contender.train(job)
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds": seconds,
        "waits": waiting.seconds / seconds,
        "anonymous_before": before,
        "maxrss": max(u.ru_maxrss for u in used) / 1024,
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
