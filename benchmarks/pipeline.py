"""(c) This pipeline: the train stage on what the preprocess stage wrote."""

from __future__ import annotations

from typing import Any

STRATEGIES = {
    "fine_tune": {"plan": "fine_tune", "last_blocks": "all", "backbone_lr": 1.0},
    "feature_extraction": {"plan": "feature_extraction"},
}


def settings(job: dict[str, Any]) -> dict[str, Any]:
    """The train stage's params; what is not here is as it comes (Adam, the cache of frozen blocks on)."""
    return {
        "task": "classification",
        "seed": 0,
        "backbone": {
            "source": "torchvision",
            "name": job["network"],
            "weights": f"weights/{job['network']}.safetensors",
        },
        "strategy": STRATEGIES[job["strategy"]],
        "sample": {"fraction": job.get("fraction", 1.0)},
        "epochs": job["epochs"],
        "batch_size": job["batch_size"],
        "early_stopping": {"patience": None},
        "precision": "auto",
        "channels_last": "auto",
        "augment": [{"HorizontalFlip": {"p": 0.5}}] if job["flip"] else [],
        **job["set"],
    }


def train(job: dict[str, Any]) -> None:
    from stages.shared.core.allocator import keep_freed_memory
    from stages.shared.core.job import Job
    from stages.shared.core.paths import Key
    from stages.train import Params, run

    keep_freed_memory()  # as `python -m stages train` does
    if "steps" in job:
        first_steps(job["steps"])
    key = Key(job["network"], job["strategy"], "full")
    run(Params.model_validate(settings(job)), Job(key)).discard()


def first_steps(steps: int) -> None:
    """Lightning's trainers made from here on end an epoch after so many steps."""
    import lightning.pytorch as pl

    make = pl.Trainer.__init__

    def limited(self: Any, *args: Any, **options: Any) -> None:
        make(self, *args, **{**options, "limit_train_batches": steps, "limit_val_batches": 2})

    pl.Trainer.__init__ = limited
