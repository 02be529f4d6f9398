from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stages.shared.core.errors import UserError
from stages.shared.model.recipe import Architecture
from stages.shared.tasks.classification import class_weights, make_loss, watch
from stages.shared.tasks.models import create
from stages.train import check
from stages.train.batches import Batch
from stages.train.loop.module import Learner
from stages.train.plan.strategies import make_plan
from stages.train.recipe.schedules import Schedule


def learner_for(params):
    torch.manual_seed(0)
    model = create("classification", Architecture(source=params.backbone.source, name=params.backbone.name), 2)
    plan = make_plan(params.strategy, list(model.backbone.blocks), params.epochs)
    learner = Learner(
        model,
        plan,
        loss=make_loss(params.loss, torch.ones(2)),
        watched=watch(2),
        optimizer=params.optimizer,
        schedule=Schedule(params.schedule, params.epochs, 1, "min"),
        monitor="val_loss",
        seed=0,
    )
    learner.trainer = SimpleNamespace(
        world_size=1, current_epoch=0, global_rank=0, global_step=0, accumulate_grad_batches=1
    )
    return learner


def batch_of(images, targets):
    return Batch((images,), targets, torch.arange(len(images)), len(images))


def step(learner):
    """One training step on random films; the names of what changed, buffers included."""
    before = {name: value.clone() for name, value in learner.model.state_dict().items()}
    optimizer = learner.configure_optimizers()
    learner.train()
    batch = torch.randint(0, 256, (8, 1, 32, 32), dtype=torch.uint8), torch.arange(8) % 2
    learner.training_step(batch_of(*batch), 0).backward()
    learner.on_before_optimizer_step(optimizer)
    optimizer.step()
    after = learner.model.state_dict()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


@pytest.fixture
def pretrained(train_params):
    backbone = {"source": "lightbox", "name": "small_cnn", "weights": "some.safetensors"}
    return lambda strategy: learner_for(train_params(strategy=strategy, backbone=backbone))


def test_feature_extraction_changes_the_head_and_no_batchnorm_statistic(pretrained):
    changed = step(pretrained({"plan": "feature_extraction"}))
    assert changed == {"head.1.weight", "head.1.bias"}


def test_fine_tune_changes_the_last_blocks_and_the_head(pretrained):
    changed = step(pretrained({"plan": "fine_tune", "last_blocks": 2}))
    moved = {name.removeprefix("backbone.network.") for name in changed if name.startswith("backbone.")}
    assert {name.split(".")[0] + "." + name.split(".")[1] for name in moved} == {"blocks.2", "blocks.3"}
    assert any(name.endswith("running_mean") for name in moved)


def test_from_scratch_changes_every_parameter(train_params):
    learner = learner_for(train_params())
    assert {n for n, _ in learner.model.named_parameters()} <= step(learner)


def test_a_frozen_block_stays_in_eval_mode_through_train(pretrained):
    learner = pretrained({"plan": "feature_extraction"})
    learner.train()
    assert not any(m.training for m in learner.model.backbone.network.stem.modules())
    assert learner.model.head.training


def test_the_backbone_learns_at_its_own_rate(pretrained):
    learner = pretrained({"plan": "fine_tune", "last_blocks": 1, "backbone_lr": 0.25})
    rates = {group["name"]: group["lr"] for group in learner.configure_optimizers().param_groups}
    assert rates["head"] == pytest.approx(1e-3)
    assert rates["block4"] == pytest.approx(0.25e-3)
    assert rates["stem"] == 0.0


def test_balanced_class_weights_are_scikit_learns():
    from sklearn.utils.class_weight import compute_class_weight

    targets = np.array([0] * 30 + [1] * 10 + [2] * 5)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=targets)
    assert class_weights(targets, 3).numpy() == pytest.approx(expected)


def test_a_metric_that_the_task_does_not_watch_is_refused_before_any_work(train_params):
    with pytest.raises(
        UserError, match=r"monitor \(task: classification\): 'val_aurok' is not known. Did you mean 'val_auroc'"
    ):
        check(train_params(early_stopping={"monitor": "val_aurok"}))
