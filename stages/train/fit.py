"""From params and arrays to a model folder."""

from __future__ import annotations

import logging
import signal
import sys
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar

from ..shared import paths
from ..shared.arrays import Arrays, load_arrays
from ..shared.errors import UserError
from ..shared.job import Job, Result
from ..shared.model import Classifier, create, save
from ..shared.recipe import Architecture, Recipe
from .checkpoint import checkpoints, discard, name_of
from .data import loaders
from .history import History
from .learner import Learner
from .params import Params
from .plan import make_plan
from .report import Trained, write_report
from .sample import select
from .weights import load_pretrained


def train_member(params: Params, job: Job) -> Result:
    arrays = load_arrays()
    train, validation = select(arrays.index, params.sample)
    name = name_of(job.member, params, arrays.fingerprint)
    with checkpoints(name) as folder:
        trained = fit(params, arrays, train, validation, job, folder)
        save(trained.model, recipe_of(params, job, arrays, trained), paths.model_dir(job.member))
        return replace(write_report(trained, arrays, train, job), discard=partial(discard, name))


def fit(params: Params, arrays: Arrays, train: np.ndarray, validation: np.ndarray, job: Job, folder: Path) -> Trained:
    """Train, from `folder`'s last checkpoint if it holds one, and come back with the best epoch's weights."""
    seed = params.seed + params.sample.seed
    torch.manual_seed(seed)
    model = create(Architecture(**params.backbone.model_dump(exclude={"weights"})), len(arrays.classes))
    check_size(model, arrays, params)
    if params.strategy.plan != "from_scratch":
        load_pretrained(model.backbone, params.backbone)
    plan = make_plan(params.strategy, list(model.backbone.stages), params.epochs)
    weights = class_weights(arrays.targets[train], len(arrays.classes), params)
    learner = Learner(model, plan, params, weights, seed)
    history = History(str(job.member), job.report)
    if not (folder / "done").exists():
        train_loop(learner, history, loaders(arrays, train, validation, params, seed), params, folder)
        (folder / "done").touch()
    else:
        history.load_state_dict(read_checkpoint(folder / "last.ckpt")["callbacks"][history.state_key])
    state = read_checkpoint(folder / "best.ckpt")
    learner.load_state_dict(state["state_dict"])
    return Trained(learner.model, history, int(state["epoch"]))


def train_loop(learner: Learner, history: History, data: Any, params: Params, folder: Path) -> None:
    """Every epoch ends in last.ckpt, the best one in best.ckpt too; goes on from last.ckpt where there is one."""
    rule = params.early_stopping
    common = {"save_on_train_epoch_end": True, "enable_version_counter": False}
    best = ModelCheckpoint(folder, filename="best", monitor=rule.monitor, mode=rule.mode, **common)
    every = ModelCheckpoint(folder, filename="last", **common)  # behind `best`, so that it holds best's state as well
    trainer = make_trainer(params, [history, *stopping(params), best, every])
    last = folder / "last.ckpt"
    if last.exists():
        print(f"{history.name}: resuming from {last}", file=sys.stderr)
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(learner, *data, ckpt_path=last if last.exists() else None)
    except SystemExit:  # Lightning's way of ending on Ctrl-C
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None


def read_checkpoint(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def check_size(model: Classifier, arrays: Arrays, params: Params) -> None:
    """Raises UserError when the backbone cannot take images of this size."""
    blank = torch.zeros(1, arrays.images.shape[3], *arrays.size, dtype=torch.uint8)
    try:
        with torch.no_grad():
            model.eval()(blank)
        model.train()
    except (RuntimeError, AssertionError) as error:
        height, width = arrays.size
        raise UserError(
            f"params.yaml: preprocess.size: {params.backbone.name} cannot take images of {height}×{width} ({error}). "
            "Most networks want 224; transformers take exactly the size they were made for."
        ) from None


def class_weights(targets: np.ndarray, classes: int, params: Params) -> torch.Tensor:
    """float K. Balanced as in scikit-learn's compute_class_weight."""
    if params.class_weights == "none":
        return torch.ones(classes)
    counts = np.bincount(targets, minlength=classes)
    return torch.tensor(len(targets) / (classes * counts), dtype=torch.float32)


def stopping(params: Params) -> list[Callback]:
    rule = params.early_stopping
    if rule.patience is None:
        return []
    return [
        EarlyStopping(
            rule.monitor,
            min_delta=rule.min_delta,
            patience=rule.patience,
            mode=rule.mode,
            check_on_train_epoch_end=True,
        )
    ]


def make_trainer(params: Params, callbacks: list[Callback]) -> pl.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")  # on purpose: see data.loaders
    warnings.filterwarnings("ignore", message=".*module.s. in eval mode.*")  # frozen stages are: see Learner.train
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")  # Lightning's own business
    shown = sys.stderr.isatty()
    return pl.Trainer(
        max_epochs=params.epochs,
        accelerator="auto",
        devices=1,
        precision=params.precision,
        callbacks=[*callbacks, *([TQDMProgressBar(leave=True)] if shown else [])],
        logger=False,
        enable_progress_bar=shown,
        enable_model_summary=False,
        deterministic="warn",
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=paths.project_root() / ".lightbox",
    )


def recipe_of(params: Params, job: Job, arrays: Arrays, trained: Trained) -> Recipe:
    return Recipe(
        key=str(job.member),
        architecture=Architecture(**params.backbone.model_dump(exclude={"weights"})),
        classes=arrays.classes,
        size=arrays.size,
        preprocess=arrays.preprocess,
        params=params.model_dump(mode="json"),
        data=arrays.fingerprint,
        best_epoch=trained.best_epoch,
        weights_sha256="",  # save() fills it in
    )
