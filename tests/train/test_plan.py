from itertools import pairwise
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from stages.shared.core.errors import UserError
from stages.shared.core.settings import Settings, parse
from stages.shared.model.memories.settings import MemorySettings
from stages.shared.model.recipe import Architecture
from stages.shared.tasks.models import create
from stages.train.params.strategies import (
    FeatureExtraction,
    FineTune,
    FromScratch,
    LinearProbeFineTune,
    Strategy,
)
from stages.train.plan.apply import frozen_throughout, groups_of, set_gradients, without_effect
from stages.train.plan.strategies import HEAD, make_plan
from stages.train.report import plan_table

BLOCKS = ["stem", "block1", "block2", "block3"]
SETTINGS = {
    "from_scratch": [{}],
    "feature_extraction": [{}, {"head_lr": 10}],
    "fine_tune": [{}, {"last_blocks": "all", "backbone_lr": 0.3}],
    "progressive_unfreezing": [
        {"every": 1},
        {"every": 3, "decay": 0.5},
        {"every": 1, "last_blocks": 1},
        {"at": [0]},
        {"at": [7]},
    ],
    "discriminative_lr": [{}, {"decay": 0.9, "frozen_epochs": 1}, {"backbone_lr": 0.75, "decay": 0.75}],
    "linear_probe_fine_tune": [{}, {"probe_epochs": 2, "last_blocks": 1}, {"probe_epochs": 0.99, "head_lr": 5}],
}
CASES = [
    pytest.param(name, given, blocks, id=f"{name}-{given}-{blocks} blocks")
    for name, several in SETTINGS.items()
    for given in several
    for blocks in (1, 4, 13)
]


def strategy(name, **given):
    return TypeAdapter(Strategy).validate_python({"plan": name} | given)


def progressive(**given):
    return strategy("progressive_unfreezing", **given)


def names(count):
    return [f"block{i}" for i in range(count)]


def learning(epoch):
    return {name for name, rate in epoch.items() if rate is not None}


def test_every_kind_of_strategy_has_a_plan_and_is_tested_here():
    union, _ = get_args(Strategy)
    learning = [kind for kind in get_args(union) if kind != MemorySettings]  # memories: tests/train/test_anomaly.py
    assert {get_args(kind.model_fields["plan"].annotation)[0] for kind in learning} == set(SETTINGS)


@pytest.mark.parametrize(("name", "given", "count"), CASES)
def test_what_holds_for_every_plan(name, given, count):
    plan = make_plan(strategy(name, **given), names(count), 8)
    assert len(plan) == 8
    assert all(list(epoch) == [*names(count), HEAD] for epoch in plan), "every group in every epoch"
    assert all(rate is None or rate > 0 for epoch in plan for rate in epoch.values())
    assert all(epoch[HEAD] is not None for epoch in plan)
    for before, after in pairwise(plan):
        assert learning(before) <= learning(after), "what has thawed stays so"
    for epoch in plan:
        frozen = [epoch[block] is None for block in names(count)]
        assert frozen == sorted(frozen, reverse=True), "the frozen blocks come first"
    never = [block for block in names(count) if all(epoch[block] is None for epoch in plan)]
    assert list(frozen_throughout(plan)) == never == names(count)[: len(never)]


def test_from_scratch_lets_everything_learn_at_full_rate():
    plan = make_plan(FromScratch(plan="from_scratch"), BLOCKS, 3)
    assert plan == [{"stem": 1.0, "block1": 1.0, "block2": 1.0, "block3": 1.0, "head": 1.0}] * 3


def test_feature_extraction_lets_only_the_head_learn():
    (epoch,) = make_plan(FeatureExtraction(plan="feature_extraction"), BLOCKS, 1)
    assert learning(epoch) == {"head"}


def test_the_head_alone_may_learn_faster():
    (epoch,) = make_plan(FeatureExtraction(plan="feature_extraction", head_lr=10), BLOCKS, 1)
    assert epoch["head"] == 10


@pytest.mark.parametrize(("count", "expected"), [(1, {"block3"}), (2, {"block2", "block3"}), ("all", set(BLOCKS))])
def test_fine_tune_lets_the_last_blocks_learn_at_their_own_rate(count, expected):
    (epoch,) = make_plan(FineTune(plan="fine_tune", last_blocks=count, backbone_lr=0.1), BLOCKS, 1)
    assert {n for n, rate in epoch.items() if rate == 0.1} == expected
    assert epoch["head"] == 1.0
    assert {n for n, rate in epoch.items() if rate is None} == set(BLOCKS) - expected


def test_blocks_thaw_one_by_one_from_the_head_to_the_stem():
    plan = make_plan(progressive(every=2), BLOCKS, 12)
    assert [len(learning(epoch)) - 1 for epoch in plan] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 4]
    first = {block: next(i for i, epoch in enumerate(plan) if epoch[block] is not None) for block in BLOCKS}
    assert first == {"block3": 2, "block2": 4, "block1": 6, "stem": 8}


def test_blocks_thaw_after_the_epochs_that_are_listed():
    plan = make_plan(progressive(at=[0, 2, 2]), BLOCKS, 4)
    assert [learning(epoch) - {HEAD} for epoch in plan] == [{"block3"}] * 2 + [{"block3", "block2", "block1"}] * 2
    assert frozen_throughout(plan) == ("stem",)


def test_every_epoch_is_the_same_as_the_epochs_listed():
    assert make_plan(progressive(every=2), BLOCKS, 9) == make_plan(progressive(at=[2, 4, 6, 8]), BLOCKS, 9)


def test_a_limit_and_too_few_epochs_leave_blocks_frozen():
    assert frozen_throughout(make_plan(progressive(every=1, last_blocks=1), BLOCKS, 9)) == ("stem", "block1", "block2")
    assert frozen_throughout(make_plan(progressive(every=4), BLOCKS, 9)) == ("stem", "block1")


def test_progressive_rates_fall_towards_the_stem():
    last = make_plan(progressive(every=1, backbone_lr=0.4, decay=0.5), BLOCKS, 9)[-1]
    assert last == {"stem": 0.05, "block1": 0.1, "block2": 0.2, "block3": 0.4, "head": 1.0}


@pytest.mark.parametrize("decay", [1.0, 0.9, 0.5])
@pytest.mark.parametrize("count", [1, 2, 5, 13])
def test_discriminative_rates_are_geometric_and_the_stem_is_the_slowest(decay, count):
    (epoch,) = make_plan(strategy("discriminative_lr", backbone_lr=0.3, decay=decay), names(count), 1)
    rates = np.array([epoch[block] for block in names(count)])
    assert rates[-1] == 0.3
    assert rates[:-1] / rates[1:] == pytest.approx(decay)


class Cut(nn.Module):
    """Five blocks and a head, in timm's words."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Linear(2, 2), nn.Linear(2, 2)
        self.blocks = nn.ModuleList(nn.Linear(2, 2) for _ in range(4))

    def group_matcher(self, coarse=False):
        return {"stem": r"^stem", "blocks": r"^blocks\.(\d+)"}


@pytest.mark.parametrize("decay", [0.5, 0.75, 0.9])
def test_discriminative_rates_are_timms_layer_decay(decay):
    from timm.optim import param_groups_layer_decay

    model = Cut()
    of = {id(p): g["lr_scale"] for g in param_groups_layer_decay(model, layer_decay=decay) for p in g["params"]}
    scales = [of[id(part.weight)] for part in (model.stem, *model.blocks, model.head)]
    (epoch,) = make_plan(strategy("discriminative_lr", backbone_lr=decay, decay=decay), names(5), 1)
    assert list(epoch.values()) == pytest.approx(scales)


def test_the_head_may_learn_alone_before_everything_does():
    plan = make_plan(strategy("discriminative_lr", frozen_epochs=2), BLOCKS, 5)
    assert [len(learning(epoch)) for epoch in plan] == [1, 1, 5, 5, 5]
    assert frozen_throughout(plan) == ()


@pytest.mark.parametrize(
    ("probe", "epochs", "alone"), [(0.3, 10, 3), (0.5, 12, 6), (0.01, 5, 1), (0.99, 5, 4), (4, 5, 4), (0.5, 2, 1)]
)
def test_a_linear_probe_comes_before_fine_tuning(probe, epochs, alone):
    given = strategy("linear_probe_fine_tune", probe_epochs=probe, head_lr=3, last_blocks=2, backbone_lr=0.2)
    plan = make_plan(given, BLOCKS, epochs)
    assert plan[:alone] == [{"stem": None, "block1": None, "block2": None, "block3": None, "head": 3}] * alone
    assert plan[alone:] == [{"stem": None, "block1": None, "block2": 0.2, "block3": 0.2, "head": 0.2}] * (
        epochs - alone
    )


@pytest.mark.parametrize(
    ("name", "given", "epochs", "message"),
    [
        ("fine_tune", {"last_blocks": 9}, 1, r"last_blocks is 9.*4 blocks \(stem, block1, block2, block3\).*1 to 4"),
        ("linear_probe_fine_tune", {"last_blocks": 9}, 5, r"last_blocks is 9.*4 blocks"),
        ("progressive_unfreezing", {"every": 1, "last_blocks": 9}, 5, r"last_blocks is 9.*4 blocks"),
        ("progressive_unfreezing", {"at": [1, 2, 3, 4, 5]}, 9, r"at has 5 epochs.*4 blocks \(stem"),
        ("progressive_unfreezing", {"at": [2, 5]}, 5, r"at is \[2, 5\].*train.epochs is 5.*Give 0 to 4"),
        ("progressive_unfreezing", {"every": 5}, 5, r"every is 5.*train.epochs is 5.*Give less than 5"),
        ("discriminative_lr", {"frozen_epochs": 5}, 5, r"frozen_epochs is 5.*train.epochs is 5.*less than 5"),
        ("linear_probe_fine_tune", {"probe_epochs": 7}, 5, r"probe_epochs is 7.*train.epochs is 5.*less than 5"),
        ("linear_probe_fine_tune", {}, 1, r"probe_epochs is 0.3.*train.epochs is 1.*Raise train.epochs"),
    ],
)
def test_what_cannot_be_names_the_key_the_value_and_the_valid_ones(name, given, epochs, message):
    with pytest.raises(UserError, match=r"strategy: " + message):
        make_plan(strategy(name, **given), BLOCKS, epochs)


class Section(Settings):
    strategy: Strategy


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"plan": "progressive_unfreezing"}, "either every .* or at .*found every: None, at: None"),
        ({"plan": "progressive_unfreezing", "every": 2, "at": [1]}, "found every: 2, at: \\[1\\]"),
        ({"plan": "progressive_unfreezing", "at": [4, 2]}, r"\[4, 2\] must name .* no block may join before"),
        ({"plan": "progressive_unfreezing", "at": []}, r"\[\] must name at least one epoch"),
        ({"plan": "progressive_unfreezing", "at": [1], "last_blocks": 2}, "take last_blocks: 2 out"),
        ({"plan": "discriminative_lr", "decay": 1.5}, "decay: .*less than or equal to 1; found 1.5"),
        ({"plan": "fine_tune", "last_blocks": 0}, "strategy.last_blocks: 0 is no number of blocks.*from 1, or all"),
        ({"plan": "linear_probe_fine_tune", "probe_epochs": 0}, "strategy.probe_epochs: 0 is neither"),
        ({"plan": "linear_probe_fine_tune", "probe_epochs": 1.5}, "strategy.probe_epochs: 1.5 is neither"),
        ({"plan": "linear_probe_fine_tune", "probe_epochs": "few"}, "strategy.probe_epochs: 'few' is neither"),
        ({"plan": "unfreeze"}, "'unfreeze' is not known.*discriminative_lr.*linear_probe_fine_tune, .*progressive_unf"),
    ],
)
def test_settings_that_contradict_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        parse(Section, {"strategy": given})


def test_a_share_below_one_and_a_whole_number_are_told_apart():
    assert isinstance(LinearProbeFineTune(plan="linear_probe_fine_tune", probe_epochs=1).probe_epochs, int)
    assert LinearProbeFineTune(plan="linear_probe_fine_tune", probe_epochs=0.5).probe_epochs == 0.5


def table():
    plan = make_plan(progressive(every=1, backbone_lr=0.1), BLOCKS, 5)
    return plan_table(plan[:3], 1e-3, [1.0, 0.5, 0.25])


def test_the_table_holds_the_rates_of_the_epochs_that_were_trained():
    rates = table().pivot(index="block", columns="epoch", values="lr")
    assert list(table().block[:5]) == [*BLOCKS, "head"]
    assert rates.loc["head"].tolist() == pytest.approx([1e-3, 5e-4, 2.5e-4])
    assert rates.loc["block3"].tolist() == pytest.approx([np.nan, 5e-5, 2.5e-5], nan_ok=True)
    assert rates.loc["stem"].isna().all()


def test_the_table_survives_its_file(tmp_path):
    table().to_csv(tmp_path / "plan.csv", index=False)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "plan.csv"), table(), check_dtype=False)


def test_more_epochs_than_planned_is_a_mistake():
    with pytest.raises(ValueError, match="longer"):
        plan_table([{"head": 1.0}], 1.0, [1.0, 1.0])


@pytest.mark.parametrize(
    ("task", "name", "behind"),
    [
        ("segmentation", "mobilenet_v3_small", {"classifier.0.weight", "classifier.0.bias"}),
        ("segmentation", "resnet18", set()),
        ("anomaly", "mobilenet_v3_small", {"classifier.0.weight", "classifier.0.bias"}),
        ("classification", "mobilenet_v3_small", set()),
    ],
)
def test_what_lies_behind_the_last_map_that_is_read_asks_for_no_gradient(tmp_path, task, name, behind):
    """DDP waits for the gradient of every parameter that asks for one, and refuses the next step where it missed one."""
    model = create(task, Architecture(source="torchvision", name=name), 2)
    images = torch.zeros(2, 1, 64, 64, dtype=torch.uint8)
    idle = without_effect(model, images[:1])
    names = {name for name, p in model.backbone.network.named_parameters() if p in idle}
    assert names == behind
    assert all(p not in idle for p in model.head.parameters())
    set_gradients(model, groups_of(model), idle)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        parallel = nn.parallel.DistributedDataParallel(model)
        for _ in range(2):
            parallel(images).sum().backward()
    finally:
        torch.distributed.destroy_process_group()
    assert all((p.grad is None) == (p in idle) for p in model.parameters())
