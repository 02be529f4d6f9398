"""From params and arrays to a model folder."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from torchmetrics import MetricCollection

from ..shared.arrays.arrays import Arrays, load_arrays
from ..shared.core import paths
from ..shared.core.errors import Untrainable, UserError
from ..shared.core.job import Job, Result
from ..shared.model.model import Model
from ..shared.model.recipe import Decision, Recipe
from ..shared.model.store import save
from ..shared.tasks import TASKS
from ..shared.tasks.models import create
from ..shared.tasks.task import Loss
from .batches import Images, epoch_size, loaders
from .features.source import make_feed
from .fitting import fit
from .loop.checkpoints import Checkpoints, discard, locked_checkpoints, name_of, read_checkpoint
from .loop.history import History
from .loop.module import Learner, NotFinite
from .loop.trainer import train_loop
from .machine.compiling import compiled
from .machine.depthwise import quick_gradients
from .machine.machine import Machine, this_machine
from .machine.memory import in_more_parts, is_out_of_memory
from .params import Params
from .plan.apply import ever_learning, frozen_throughout, without_effect
from .plan.strategies import Plan, make_plan
from .recipe.resizing import Size, sizes
from .recipe.schedules import Schedule
from .report import Curve, Trained, write_report
from .sample import Rows, sample_rows
from .start.start import Start, find_start, load_weights

NAMES = {
    "cpu": "CPU",
    "cuda": "GPU",
    "32-true": "float32",
    "bf16-mixed": "bfloat16 and float32",
    "16-mixed": "float16 and float32",
}
NAMED_FILES = 8  # of a batch, at most, in a message


@dataclass(frozen=True)
class Prepared:
    """A model with the weights it starts from, who learns when, and what it is shown and judged by. idle: parameters
    that its outputs do not depend on."""

    model: Model
    plan: Plan
    idle: frozenset[nn.Parameter]
    images: Images
    loss: Loss
    watched: MetricCollection


@dataclass(frozen=True)
class Ready:
    """What a training reads, where it runs, and the folder of its checkpoints."""

    arrays: Arrays
    rows: Rows
    start: Start | None
    machine: Machine
    folder: Path


def make_ready(params: Params, job: Job) -> Ready:
    """Settings, files and machine, each asked once."""
    arrays = load_arrays()
    task = TASKS[params.task]
    rows = sample_rows(params, arrays.index, f"{paths.PARAMS}: samples.{job.member.sample}")
    task.check_validation(arrays, rows.validation)
    start = start_of(params)
    # a memory remembers what evaluate, which computes in float32, will compare with it
    precision = "32-true" if params.architecture.memory else params.precision
    machine = this_machine(params.trainer, precision, params.channels_last, params.accumulate, params.workers)
    name = name_of(job.member, params.model_dump(mode="json"), arrays.fingerprint, start)
    return Ready(arrays, rows, start, machine, machine.scratch / "checkpoints" / name)


def start_of(params: Params) -> Start | None:
    """None: random weights."""
    return None if params.strategy.plan == "from_scratch" else find_start(params.backbone)


def run(params: Params, job: Job) -> Result:
    """Of several processes that train one model together, the first writes the model and the report."""
    own = make_ready(params, job)
    arrays, rows, start, machine = own.arrays, own.rows, own.start, own.machine
    if machine.is_main:
        print(
            f"{job.member}: {len(rows.train)} images to train on, {len(rows.validation)} to validate on; "
            f"on the {NAMES.get(machine.device.type, machine.device.type)}, in {NAMES[machine.precision]}",
            file=sys.stderr,
        )
    with locked_checkpoints(own.folder, machine.is_main) as saved:
        trained = learn(params, arrays, rows, start, machine, saved, job)
        if trained is None:
            return Result()
        result = write_report(trained, arrays.index, rows, start, params.model_dump(mode="json"), job)
        decision = TASKS[params.task].decide(trained.model, arrays, rows.validation)
        recipe = recipe_of(params, job, arrays, start, trained.best_epoch, decision)
        save(trained.model, recipe, paths.model_dir(job.member))
    return replace(result, discard=partial(discard, own.folder))


def curve(params: Params, job: Job) -> Curve:
    """What `job.report` raises ends the training; an interruption alone leaves its checkpoints."""
    own = make_ready(params, job)
    try:
        with locked_checkpoints(own.folder) as saved:
            trained = learn(params, own.arrays, own.rows, own.start, own.machine, saved, job)
    except Exception:
        discard(own.folder)
        raise
    discard(own.folder)
    assert trained is not None  # this process is the only one
    return Curve(trained.history.rows, len(own.rows.train), len(own.rows.validation))


def learn(
    params: Params, arrays: Arrays, rows: Rows, start: Start | None, machine: Machine, saved: Checkpoints, job: Job
) -> Trained | None:
    """Train, from the last checkpoint if there is one, and return the best epoch's weights; None in all processes but
    the first. When memory does not suffice, continue with more parts a step."""
    while True:
        machine, history = saved.keep_choices(machine), History(str(job.member), job.report, job.quiet)
        own = prepare(params, arrays, rows, start, machine)
        if saved.ended.exists():
            history.load_state_dict(read_checkpoint(saved.last)["callbacks"][history.state_key])
            break
        try:
            work = train if ever_learning(own.plan) else remember
            work(own, params, rows, machine, history, saved)
            break
        except NotFinite as error:
            raise not_finite(error, params.optimizer.lr, machine, arrays.index["path"], job) from None
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error)
        steps, images = epoch_size(len(rows.train), params.batch_size, params.min_steps_per_epoch)
        machine = in_more_parts(machine, images // steps, params.auto_batch, reason)
    if not machine.is_main:
        return None
    saved.ended.touch()
    state = read_checkpoint(saved.best)
    best = {name.removeprefix("model."): tensor for name, tensor in state["state_dict"].items()}
    own.model.load_state_dict(own.model.state_dict() | best)  # a checkpoint leaves out what never learns
    return Trained(own.model, own.plan, own.idle, machine, history, int(state["epoch"]))


def prepare(params: Params, arrays: Arrays, rows: Rows, start: Start | None, machine: Machine) -> Prepared:
    torch.manual_seed(params.training_seed)
    task = TASKS[params.task]
    outputs = len(task.outputs(arrays))
    model = create(params.task, params.architecture, outputs)
    check_size(model, arrays, params)
    if start:
        load_weights(model.backbone, start)
    idle = without_effect(model, blank(arrays, arrays.size))
    plan = make_plan(params.strategy, list(model.backbone.blocks), params.epochs)
    return Prepared(
        model=model.to(memory_format=machine.memory_format),
        plan=plan,
        idle=idle,
        images=Images(arrays, task.target(arrays), params.training_seed, params.augment if ever_learning(plan) else ()),
        loss=task.losses(params.loss, params.class_weights, arrays, rows.train),
        watched=task.watch(outputs),
    )


def train(own: Prepared, params: Params, rows: Rows, machine: Machine, history: History, saved: Checkpoints) -> None:
    # a mixed image is new every time, and features are of one size
    frozen = () if params.mix or params.resize else frozen_throughout(own.plan)
    with make_feed(own.model, frozen, own.images, rows, params.cache, params.epochs, machine) as feed:
        history.preparation = history.seconds
        quick_gradients(own.model)  # after the cut: the tracer knows torch's own layers
        arrays = own.images.arrays
        data = loaders(
            feed.source,
            rows,
            machine,
            params.training_seed,
            batch_size=params.batch_size,
            min_steps=params.min_steps_per_epoch,
            labels=arrays.targets if params.sampling == "balanced" else None,
            views=feed.views,
        )
        forward = compiled(feed.forward or own.model, machine.device) if params.compile else feed.forward
        rule, steps = params.early_stopping, len(data[0]) // machine.accumulate
        learner = Learner(
            own.model,
            own.plan,
            loss=own.loss,
            watched=own.watched,
            optimizer=params.optimizer,
            schedule=Schedule(params.schedule, params.epochs, steps, rule.mode),
            monitor=rule.monitor,
            seed=params.training_seed,
            mix=params.mix,
            sizes=training_sizes(params, arrays.size),
            idle=own.idle,
            ema=params.ema is not None,
            forward_from=forward,
        )
        train_loop(
            learner,
            history,
            data,
            machine,
            saved,
            rule,
            params.ema.decay if params.ema else None,
            max_epochs=params.epochs,
            gradient_clip_val=params.gradient_clip,
            **params.trainer.model_dump(),
        )


def remember(own: Prepared, params: Params, rows: Rows, machine: Machine, history: History, saved: Checkpoints) -> None:
    """Where nothing learns: one pass over the training images, as they are, and one over those that validate."""
    with make_feed(own.model, frozen_throughout(own.plan), own.images, rows, params.cache, 1, machine) as feed:
        history.preparation = history.seconds
        size, seed = own.images.arrays.size, params.training_seed
        fit(own.model, feed, rows, size, seed, own.loss, own.watched, machine, history, saved)


def training_sizes(params: Params, full: Size) -> list[Size]:
    """Of the training images in each epoch; none: as they are."""
    return sizes(params.resize.start, params.resize.until, full, params.epochs) if params.resize else []


def check_size(model: Model, arrays: Arrays, params: Params) -> None:
    """Raises UserError when the backbone cannot take images of this size, or one of `resize`."""
    for size in dict.fromkeys([arrays.size, *training_sizes(params, arrays.size)]):
        try:
            with torch.no_grad():
                model.eval()(blank(arrays, size))
            model.train()
        except (RuntimeError, AssertionError) as error:
            setting = "preprocess.size" if size == arrays.size else "train.resize.start"
            raise UserError(
                f"params.yaml: {setting}: {params.backbone.name} cannot take images of {size[0]}×{size[1]} ({error}). "
                "Most networks want 224; transformers take only the size they were made for."
            ) from None


def blank(arrays: Arrays, size: Size) -> torch.Tensor:
    """A batch of one image, uint8 1×C×H×W."""
    return torch.zeros(1, arrays.images.shape[3], *size, dtype=torch.uint8)


def not_finite(error: NotFinite, lr: float, machine: Machine, files: pd.Series, job: Job) -> Untrainable:
    """`files`: of all images."""
    names: list[str] = files.iloc[error.rows].tolist()
    more = f" and {len(names) - NAMED_FILES} more" if len(names) > NAMED_FILES else ""
    precision = "" if machine.precision == "32-true" else ", set train.precision to 32-true"
    reason = f"train@{job.member}: the loss is {error.loss}"
    return Untrainable(
        f"{reason} on the batch of {', '.join(names[:NAMED_FILES])}{more}. Lower train.optimizer.lr (it is {lr}), set "
        f"train.gradient_clip (such as 1.0){precision}, or look at these images.",
        reason,
    )


def recipe_of(
    params: Params, job: Job, arrays: Arrays, start: Start | None, best_epoch: int, decision: Decision | None
) -> Recipe:
    return Recipe(
        key=str(job.member),
        task=params.task,
        architecture=params.architecture,
        classes=TASKS[params.task].outputs(arrays),
        size=arrays.size,
        preprocess=arrays.preprocess,
        params=params.model_dump(mode="json"),
        data=arrays.fingerprint,
        start=start.name if start else None,
        best_epoch=best_epoch,
        decision=decision,
        weights_sha256="",  # save() fills it in
    )
