"""From params and arrays to a model folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ..shared.arrays.arrays import Arrays, load_arrays
from ..shared.core import paths
from ..shared.core.errors import UserError
from ..shared.core.files import read_json, write_json
from ..shared.core.job import Job, Result
from ..shared.model.model import Classifier
from ..shared.model.recipe import Recipe
from ..shared.model.store import save
from ..shared.tasks import TASKS
from ..shared.tasks.models import create
from .data.batches import augmented, epoch_size, loaders
from .features.source import make_feed
from .loop.checkpoints import checkpoints, discard, name_of
from .loop.history import History
from .loop.module import Learner, NotFinite
from .loop.trainer import read_checkpoint, train_loop
from .machine.compiling import compiled
from .machine.depthwise import quick_gradients
from .machine.machine import Machine, this_machine
from .machine.memory import in_more_parts, is_out_of_memory
from .params import Params
from .plan.apply import frozen_throughout
from .plan.strategies import Plan, make_plan
from .recipe.schedules import Schedule
from .report import Trained, write_report
from .sample import Rows, select
from .start.sources import load_pretrained, started_from

SETTLED = "settled.json"  # beside the checkpoints
CHOSEN = ("precision", "channels_last", "accumulate")  # what it holds
SHOWN = 8  # files of a batch that are named


def run(params: Params, job: Job) -> Result:
    """Of several processes that train one model together, the first writes what comes of it."""
    machine = this_machine(params)
    arrays = load_arrays()
    rows = select(arrays.index, params.sample)
    name = name_of(job.member, params, arrays.fingerprint)
    with checkpoints(name) as folder:
        trained = fit(params, arrays, rows, machine, job, folder)
        if trained is None:
            return Result()
        save(trained.model, recipe_of(params, job, arrays, trained), paths.model_dir(job.member))
        return replace(write_report(trained, params, arrays, rows, job), discard=partial(discard, name))


def fit(params: Params, arrays: Arrays, rows: Rows, machine: Machine, job: Job, folder: Path) -> Trained | None:
    """Train, from `folder`'s last checkpoint if it holds one, and come back with the best epoch's weights; of several
    processes the first."""
    machine = settled(machine, folder)
    while True:
        try:
            return attempt(params, arrays, rows, machine, job, folder)
        except NotFinite as error:
            raise not_finite(error, params, machine, arrays, job) from None
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error)
        steps, images = epoch_size(len(rows.train), params.batch_size, params.min_steps_per_epoch)
        machine = in_more_parts(machine, images // steps, params.auto_batch, reason)


def attempt(params: Params, arrays: Arrays, rows: Rows, machine: Machine, job: Job, folder: Path) -> Trained | None:
    seed = params.seed + params.sample.seed
    history = History(str(job.member), job.report)
    model, plan = prepare(params, arrays, seed)
    if (folder / "done").exists():
        history.load_state_dict(read_checkpoint(folder / "last.ckpt")["callbacks"][history.state_key])
    else:
        settle(machine, folder)
        model.to(memory_format=machine.memory_format)
        task, classes = TASKS[params.task], len(arrays.classes)
        targets = task.target(arrays, np.arange(len(arrays.index)))
        images = augmented(arrays, seed, params.augment)
        frozen = () if params.mix else frozen_throughout(plan)  # a mixed image is new every time
        with make_feed(model, frozen, images, rows, params.cache, params.epochs, machine) as feed:
            history.preparation = history.seconds
            quick_gradients(model)  # after the cut: the tracer knows torch's own layers
            data = loaders(
                feed.source,
                targets,
                rows,
                machine,
                seed,
                batch_size=params.batch_size,
                min_steps=params.min_steps_per_epoch,
                balanced=params.sampling == "balanced",
                views=feed.views,
            )
            forward = compiled(feed.forward or model, machine.device) if params.compile else feed.forward
            rule, steps = params.early_stopping, len(data[0]) // machine.accumulate
            learner = Learner(
                model,
                plan,
                loss=task.losses(params.loss, params.class_weights, targets[rows.train], classes),
                watched=task.watch(classes),
                optimizer=params.optimizer,
                schedule=Schedule(params.schedule, params.epochs, steps, rule.mode),
                monitor=rule.monitor,
                seed=seed,
                mix=params.mix,
                accumulate=machine.accumulate,
                rank=machine.rank,
                ema=params.ema is not None,
                forward_from=forward,
            )
            train_loop(
                learner,
                history,
                data,
                machine,
                folder,
                rule,
                params.ema,
                max_epochs=params.epochs,
                gradient_clip_val=params.gradient_clip,
                **params.trainer.model_dump(),
            )
        if machine.is_main:
            (folder / "done").touch()
    if not machine.is_main:
        return None
    state = read_checkpoint(folder / "best.ckpt")
    kept = {name.removeprefix("model."): tensor for name, tensor in state["state_dict"].items()}
    model.load_state_dict(model.state_dict() | kept)  # what never learnt is as it was
    return Trained(model, plan, machine, history, int(state["epoch"]))


def prepare(params: Params, arrays: Arrays, seed: int) -> tuple[Classifier, Plan]:
    """The model with the weights it starts from, and who learns when."""
    torch.manual_seed(seed)
    model = create(params.task, params.backbone.architecture, len(arrays.classes))
    check_size(model, arrays, params)
    if params.strategy.plan != "from_scratch":
        load_pretrained(model.backbone, params.backbone)
    return model, make_plan(params.strategy, list(model.backbone.blocks), params.epochs)


def settle(machine: Machine, folder: Path) -> None:
    """Keep what was chosen for this machine: a resumed training goes on with it, wherever it is resumed."""
    if machine.is_main:
        write_json(folder / SETTLED, {name: value for name, value in asdict(machine).items() if name in CHOSEN})


def settled(machine: Machine, folder: Path) -> Machine:
    path = folder / SETTLED
    if not path.exists():
        return machine
    kept = read_json(path)
    return replace(machine, **kept | {"accumulate": max(machine.accumulate, kept["accumulate"])})


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


def not_finite(error: NotFinite, params: Params, machine: Machine, arrays: Arrays, job: Job) -> UserError:
    files: Sequence[str] = arrays.index["path"].iloc[error.rows].tolist()
    more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
    precision = "" if machine.precision == "32-true" else ", set train.precision to 32-true"
    return UserError(
        f"train@{job.member}: the loss is {error.loss} on the batch of {', '.join(files[:SHOWN])}{more}. "
        f"Lower train.optimizer.lr (it is {params.optimizer.lr}), set train.gradient_clip (such as 1.0){precision}, "
        "or look at these images."
    )


def recipe_of(params: Params, job: Job, arrays: Arrays, trained: Trained) -> Recipe:
    return Recipe(
        key=str(job.member),
        task=params.task,
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
