"""From params and arrays to a model folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ..shared.arrays.arrays import Arrays, load_arrays
from ..shared.core import paths
from ..shared.core.errors import UserError
from ..shared.core.files import read_json, write_json
from ..shared.core.job import Job, Result
from ..shared.core.process import check_world, is_main, rank
from ..shared.model.model import Classifier, create, save
from ..shared.model.recipe import Recipe
from .data.batches import loaders
from .features.feed import make_feed
from .loop.checkpoints import checkpoints, discard, name_of
from .loop.history import History
from .loop.module import Learner, NotFinite
from .loop.trainer import read_checkpoint, train_loop
from .machine.compiling import compiled
from .machine.depthwise import quick_gradients
from .machine.device import device_of
from .machine.memory import after_out_of_memory, is_out_of_memory
from .machine.speed import apply, choose
from .params import Params
from .plan.strategies import Plan, make_plan
from .recipe.losses import make_loss
from .recipe.schedules import Schedule
from .recipe.watch import watched
from .report import CHOSEN, Trained, write_report
from .sample import select
from .start.sources import load_pretrained, started_from

SETTLED = "settled.json"  # beside the checkpoints
SHOWN = 8  # files of a batch that are named


def run(params: Params, job: Job) -> Result:
    """Of several processes that train one model together, the first writes what comes of it."""
    check_world(params.trainer.world)
    arrays = load_arrays()
    train, validation = select(arrays.index, params.sample)
    name = name_of(job.member, params, arrays.fingerprint)
    with checkpoints(name) as folder:
        trained = fit(params, arrays, train, validation, job, folder)
        if trained is None:
            return Result()
        save(trained.model, recipe_of(params, job, arrays, trained), paths.model_dir(job.member))
        return replace(write_report(trained, params, arrays, train, job), discard=partial(discard, name))


def fit(
    params: Params, arrays: Arrays, train: np.ndarray, validation: np.ndarray, job: Job, folder: Path
) -> Trained | None:
    """Train, from `folder`'s last checkpoint if it holds one, and come back with the best epoch's weights; of several
    processes the first."""
    while True:
        try:
            return attempt(params, arrays, train, validation, job, folder)
        except NotFinite as error:
            raise not_finite(error, params, arrays, job) from None
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            said = str(error)
        # out here: inside the handler the traceback still holds the failed step's activations
        params = after_out_of_memory(params, arrays, said)


def attempt(
    params: Params, arrays: Arrays, train: np.ndarray, validation: np.ndarray, job: Job, folder: Path
) -> Trained | None:
    seed = params.seed + params.sample.seed
    history = History(str(job.member), job.report)
    model, plan = prepare(params, arrays, seed)
    params = settled(params, folder)
    if (folder / "done").exists():
        history.load_state_dict(read_checkpoint(folder / "last.ckpt")["callbacks"][history.state_key])
    else:
        params = for_this_machine(model, plan, params, arrays)
        settle(params, folder)
        weights = class_weights(arrays.targets[train], len(arrays.classes), params)
        with make_feed(model, plan, params, arrays, train, validation, seed) as feed:
            history.preparation = history.seconds
            quick_gradients(model)  # after the cut: the tracer knows torch's own layers
            data = loaders(feed.source, arrays, train, validation, params, seed, views=feed.views, rank=rank())
            forward = compiled(feed.forward or model, device_of(params)) if params.compile else feed.forward
            rule, steps = params.early_stopping, len(data[0]) // params.accumulate
            learner = Learner(
                model,
                plan,
                loss=make_loss(params.loss, weights),
                watched=watched(len(arrays.classes)),
                optimizer=params.optimizer,
                schedule=Schedule(params.schedule, params.epochs, steps, rule.mode),
                monitor=rule.monitor,
                seed=seed,
                mix=params.mix,
                accumulate=params.accumulate,
                ema=params.ema is not None,
                forward_from=forward,
            )
            train_loop(learner, history, data, params, folder)
        if is_main():
            (folder / "done").touch()
    if not is_main():
        return None
    state = read_checkpoint(folder / "best.ckpt")
    kept = {name.removeprefix("model."): tensor for name, tensor in state["state_dict"].items()}
    model.load_state_dict(model.state_dict() | kept)  # what never learnt is as it was
    return Trained(model, plan, params, history, int(state["epoch"]))


def prepare(params: Params, arrays: Arrays, seed: int) -> tuple[Classifier, Plan]:
    """The model with the weights it starts from, and who learns when."""
    torch.manual_seed(seed)
    model = create(params.backbone.architecture, len(arrays.classes))
    check_size(model, arrays, params)
    if params.strategy.plan != "from_scratch":
        load_pretrained(model.backbone, params.backbone)
    return model, make_plan(params.strategy, list(model.backbone.blocks), params.epochs)


def for_this_machine(model: Classifier, plan: Plan, params: Params, arrays: Arrays) -> Params:
    """`precision` and `channels_last` filled in where they are left to the machine; the model laid out accordingly."""
    shape = (-(-params.batch_size // (params.accumulate * params.trainer.world)), arrays.images.shape[3], *arrays.size)
    choice = choose(
        model,
        shape,
        {name for epoch in plan for name, rate in epoch.items() if rate is not None},
        name=params.backbone.name,
        about=params.backbone.architecture.model_dump_json(),
        precision=params.precision,
        channels_last=params.channels_last,
        device=device_of(params),
    )
    apply(model, choice.channels_last)
    return params.model_copy(update={"precision": choice.precision, "channels_last": choice.channels_last})


def settle(params: Params, folder: Path) -> None:
    """Keep what was chosen for this machine: a resumed training goes on with it, wherever it is resumed."""
    if is_main():
        write_json(folder / SETTLED, {name: getattr(params, name) for name in CHOSEN})


def settled(params: Params, folder: Path) -> Params:
    path = folder / SETTLED
    if not path.exists():
        return params
    kept = read_json(path)
    return params.model_copy(update=kept | {"accumulate": max(params.accumulate, kept["accumulate"])})


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


def not_finite(error: NotFinite, params: Params, arrays: Arrays, job: Job) -> UserError:
    files: Sequence[str] = arrays.index["path"].iloc[error.rows].tolist()
    more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
    precision = "" if params.precision == "32-true" else ", set train.precision to 32-true"
    return UserError(
        f"train@{job.member}: the loss is {error.loss} on the batch of {', '.join(files[:SHOWN])}{more}. "
        f"Lower train.optimizer.lr (it is {params.optimizer.lr}), set train.gradient_clip (such as 1.0){precision}, "
        "or look at these images."
    )


def recipe_of(params: Params, job: Job, arrays: Arrays, trained: Trained) -> Recipe:
    return Recipe(
        key=str(job.member),
        architecture=params.backbone.architecture,
        classes=arrays.classes,
        size=arrays.size,
        preprocess=arrays.preprocess,
        params=params.model_dump(mode="json"),
        data=arrays.fingerprint,
        start=started_from(params),
        best_epoch=trained.best_epoch,
        weights_sha256="",  # save() fills it in
    )
