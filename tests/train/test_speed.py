"""The probe of precision and layout: against a clock that the test winds, and once for real."""

import copy
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.shared.core.errors import UserError
from stages.shared.model.model import create
from stages.shared.model.recipe import Architecture
from stages.train.machine import race, speed
from stages.train.machine.speed import Choice, Way

CPU = torch.device("cpu")
REFERENCE, FAST = Way("32-true", False), Way("bf16-mixed", True)
EVERY = [REFERENCE, Way("32-true", True), Way("bf16-mixed", False), FAST]
SHAPE = (8, 1, 32, 32)


class Clock:
    """Time passes only in steps: so many seconds an image, by way."""

    def __init__(self, **seconds):
        self.now, self.seconds, self.steps = 0.0, seconds, []

    def __call__(self):
        return self.now

    def step(self, way, images):
        self.steps.append((way, images))
        self.now += images * self.seconds["bf16" if way == FAST else "other"]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return create(Architecture(source="lightbox", name="small_cnn", dropout=0.3), 2)


@pytest.fixture
def bf16(monkeypatch):
    monkeypatch.setattr(speed, "bf16_on_cpu", lambda: True)


def test_the_faster_way_is_taken_only_if_it_gains_a_tenth():
    for factor, taken in ((0.5, FAST), (0.89, FAST), (0.95, REFERENCE), (2.0, REFERENCE)):
        clock = Clock(other=0.01, bf16=0.01 * factor)
        seconds = race.race(EVERY, clock.step, 8, clock)
        assert seconds[REFERENCE] == pytest.approx(0.08)
        assert seconds[FAST] == pytest.approx(0.08 * factor)
        assert race.pick(seconds, REFERENCE) == taken


def test_ways_take_turns_and_clear_losers_leave_but_not_the_reference():
    clock = Clock(other=0.01, bf16=0.005)
    race.race(EVERY, clock.step, 8, clock)
    raced = [way for way, images in clock.steps if images == 8][len(EVERY) :]
    assert raced == [*EVERY, REFERENCE, FAST, REFERENCE, FAST]


def test_one_busy_moment_does_not_change_the_answer():
    clock = Clock(other=0.01, bf16=0.005)

    def step(way, images):
        clock.step(way, images)
        clock.now += 0.5 if len(clock.steps) == 13 else 0  # FAST, in the first round

    seconds = race.race([REFERENCE, FAST], step, 8, clock)
    assert race.pick(seconds, REFERENCE) == FAST


@pytest.mark.parametrize("per_image", [0.001, 0.03, 0.2, 1.0])
def test_the_race_keeps_to_its_time_by_showing_fewer_images_but_not_too_few_to_tell(per_image):
    clock = Clock(other=per_image, bf16=per_image)
    race.race(EVERY, clock.step, 32, clock)
    images = {n for _, n in clock.steps}
    assert min(images) == 2  # the warm-up
    assert race.LEAST <= max(images) <= race.IMAGES
    warm_up, a_round = (len(EVERY) * n * per_image for n in (3, race.LEAST))
    assert clock.now <= max(race.BUDGET, warm_up + 2 * a_round) + a_round


def test_settings_leave_open_what_is_auto(bf16):
    assert speed.open_ways("auto", "auto", CPU) == EVERY
    assert speed.open_ways("auto", True, CPU) == [Way("32-true", True), FAST]
    assert speed.open_ways("bf16-mixed", "auto", CPU) == [Way("bf16-mixed", False), FAST]
    assert speed.open_ways("bf16-mixed", False, CPU) == [Way("bf16-mixed", False)]


def test_only_precisions_that_the_hardware_has_are_tried(monkeypatch):
    asked = {"_is_avx512_bf16_supported": False, "_is_amx_tile_supported": False}
    for name, answer in asked.items():
        monkeypatch.setattr(torch.cpu, name, lambda answer=answer: answer, raising=False)
    assert speed.precisions(CPU) == ["32-true"]
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert speed.precisions(CPU) == ["32-true", "bf16-mixed"]
    for native, found in ((True, ["32-true", "bf16-mixed", "16-mixed"]), (False, ["32-true", "16-mixed"])):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, native=native: native)
        assert speed.precisions(torch.device("cuda")) == found
    assert speed.precisions(torch.device("mps")) == ["32-true"]


def test_what_this_processor_says_of_itself_agrees_with_torch():
    told = Path("/proc/cpuinfo")
    if not told.exists():
        pytest.skip("no /proc/cpuinfo")
    assert speed.bf16_on_cpu() == bool({"avx512_bf16", "amx_tile"} & set(told.read_text().split()))


def test_16_mixed_without_a_gpu_names_the_valid_ones(model, workspace, bf16):
    with pytest.raises(UserError, match=r"16-mixed needs a GPU.*Valid here: auto, 32-true, bf16-mixed"):
        speed.choose(model, SHAPE, ["head"], name="small_cnn", precision="16-mixed")


def test_nothing_is_measured_or_written_where_nothing_is_open(model, workspace):
    choice = speed.choose(model, SHAPE, ["head"], name="small_cnn", precision="32-true", channels_last=True)
    assert choice == Choice("32-true", True, {})
    assert not (workspace / ".lightbox").exists()


def test_a_real_probe_leaves_the_model_and_the_random_state_as_they_were(model, workspace, bf16, capsys):
    model.eval()
    model.backbone.network.stem.requires_grad_(False)
    twin = copy.deepcopy(model)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    choice = speed.choose(model, SHAPE, [*model.backbone.blocks, "head"], name="small_cnn")
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
    assert (states[2] == np.random.get_state()[1]).all()
    for (name, mine), other in zip(model.state_dict().items(), twin.state_dict().values(), strict=True):
        assert torch.equal(mine, other), name
        assert mine.stride() == other.stride(), name
    assert not any(m.training for m in model.modules())
    assert [p.requires_grad for p in model.parameters()] == [p.requires_grad for p in twin.parameters()]
    assert all(p.grad is None for p in model.parameters())
    assert choice.seconds[str(REFERENCE)] > 0
    assert "small_cnn: trains in" in (said := capsys.readouterr().err)
    assert said.count("\n") == 1


def test_the_step_trains_what_learns_and_nothing_else(model):
    frozen = speed.freeze(copy.deepcopy(model), ["block3", "head"])
    learning = {name for name, p in frozen.named_parameters() if p.requires_grad}
    expected = ("backbone.network.blocks.2.", "head.")
    assert learning == {name for name, _ in model.named_parameters() if name.startswith(expected)}
    assert not frozen.backbone.network.stem.training
    assert frozen.backbone.network.blocks[2].training


def test_the_answer_is_remembered_by_what_it_depends_on(model, workspace, bf16, monkeypatch, capsys):
    measured = []

    def measure(model, shape, learns, ways, device):
        measured.append((shape, tuple(learns)))
        return Choice("bf16-mixed", True, {str(way): 1.0 / (i + 1) for i, way in enumerate(ways)})

    monkeypatch.setattr(speed, "measure", measure)
    ask = {"name": "small_cnn"}
    first = speed.choose(model, SHAPE, ["head"], **ask)
    assert speed.choose(model, SHAPE, ["head"], **ask) == first
    assert len(measured) == 1
    assert "4.00×" in capsys.readouterr().err
    speed.choose(model, (16, *SHAPE[1:]), ["head"], **ask)
    speed.choose(model, SHAPE, ["block4", "head"], **ask)
    speed.choose(model, SHAPE, ["head"], name="another")
    speed.choose(model, SHAPE, ["head"], **ask, precision="32-true")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    speed.choose(model, SHAPE, ["head"], **ask)
    assert len(measured) == 6
    memory = json.loads((workspace / ".lightbox" / "speed.json").read_text())
    assert len(memory) == 6
    assert all(torch.__version__ in key for key in memory)


def test_the_memory_lies_in_the_main_repository(model, workspace, tmp_path_factory, bf16, monkeypatch):
    root = tmp_path_factory.mktemp("main")
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.setattr(speed, "measure", lambda *_: Choice("32-true", False, {str(REFERENCE): 1.0, str(FAST): 1.0}))
    speed.choose(model, SHAPE, ["head"], name="small_cnn")
    assert (root / ".lightbox" / "speed.json").exists()


def test_a_damaged_memory_says_what_to_do(model, workspace, bf16):
    (workspace / ".lightbox").mkdir()
    (workspace / ".lightbox" / "speed.json").write_text("{")
    with pytest.raises(UserError, match=r"speed\.json: not readable.*Delete it"):
        speed.choose(model, SHAPE, ["head"], name="small_cnn")


def test_the_layout_is_applied_and_taken_back(model):
    conv = model.backbone.network.blocks[0].conv.weight
    for layout in (True, False, True):
        assert speed.apply(model, layout) is model
        assert conv.is_contiguous(memory_format=torch.channels_last) is layout
        assert conv.is_contiguous() is not layout
