"""What a training gets of this machine, where the settings leave it open."""

from pathlib import Path

import pytest
import torch

from stages.shared.core.errors import UserError
from stages.shared.core.paths import project_root
from stages.train.machine import machine
from stages.train.machine.machine import Machine, device_of, has_bfloat16, precision_on, this_machine, workers_for
from stages.train.machine.memory import in_more_parts
from stages.train.params.machine import Trainer

CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))
AUTO = {"precision": "auto", "channels_last": "auto", "accumulate": 1, "workers": "auto"}
ON_CPU = Trainer(accelerator="cpu")


@pytest.mark.parametrize(("native", "precision"), [(True, "bf16-mixed"), (False, "32-true")])
def test_auto_is_bfloat16_where_the_processor_has_it(monkeypatch, native, precision):
    monkeypatch.setattr(machine, "has_bfloat16", lambda device: native)
    scratch = project_root() / ".lightbox"
    assert this_machine(ON_CPU, **AUTO) == Machine(precision=precision, channels_last=True, scratch=scratch)


def test_what_is_set_is_not_left_to_the_machine(monkeypatch):
    monkeypatch.setattr(machine, "has_bfloat16", lambda device: True)
    settings = {"precision": "32-true", "channels_last": False, "accumulate": 2, "workers": 3}
    chosen = this_machine(ON_CPU, **settings)
    assert {name: getattr(chosen, name) for name in settings} == settings


def test_the_layout_is_left_alone_where_there_are_no_convolutions_for_it(monkeypatch):
    monkeypatch.setattr(machine, "device_of", lambda trainer: MPS)
    assert not this_machine(ON_CPU, **AUTO).channels_last


def test_bfloat16_counts_only_where_the_hardware_has_it(monkeypatch):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    assert not has_bfloat16(CPU)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert has_bfloat16(CPU)
    for native in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, native=native: native)
        assert has_bfloat16(CUDA) is native
    assert not has_bfloat16(MPS)


def test_what_this_processor_says_of_itself_agrees_with_torch():
    facts = Path("/proc/cpuinfo")
    if not facts.exists():
        pytest.skip("no /proc/cpuinfo")
    assert has_bfloat16(CPU) == bool({"avx512_bf16", "amx_tile"} & set(facts.read_text().split()))


def test_16_mixed_without_a_gpu_names_the_valid_ones():
    assert precision_on(CUDA, "16-mixed") == "16-mixed"
    with pytest.raises(UserError, match=r"16-mixed needs a GPU.*Valid here: auto, 32-true, bf16-mixed"):
        precision_on(CPU, "16-mixed")


def test_each_process_has_its_share_of_a_step(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    two = Trainer(devices=2, strategy="ddp", accelerator="cpu")
    chosen = this_machine(two, **AUTO | {"accumulate": 2})
    assert (chosen.rank, chosen.world, chosen.parts, chosen.is_main) == (1, 2, 4, False)


def test_a_process_trains_on_the_device_of_its_number(monkeypatch):
    monkeypatch.setattr(machine, "best_device", lambda: CUDA)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert device_of(Trainer(devices=2, strategy="ddp")) == torch.device("cuda", 1)
    assert device_of(Trainer(devices=[0, 3], strategy="ddp")) == torch.device("cuda", 3)


def test_only_for_a_gpu_do_other_processes_augment(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    for gpus, workers in ((1, 8), (4, 3), (32, 1)):
        monkeypatch.setattr(torch.cuda, "device_count", lambda gpus=gpus: gpus)
        assert workers_for(CUDA) == workers
    assert workers_for(CPU) == 0


@pytest.mark.parametrize(("batch_size", "tried"), [(16, [2, 4, 8]), (20, [2, 4, 8, 10]), (2, [])])
def test_parts_are_halved_down_to_two_images(batch_size, tried):
    here = Machine()
    for accumulate in tried:
        here = in_more_parts(here, batch_size, True, "out of memory")
        assert here.accumulate == accumulate
    with pytest.raises(UserError, match="2 images at a time do not fit .* fewer cannot be trained"):
        in_more_parts(here, batch_size, True, "out of memory")


def test_smaller_parts_by_themselves_are_for_one_device():
    several = Machine(world=2)
    with pytest.raises(UserError, match=r"Set train\.accumulate: 2 .*auto_batch works for one device"):
        in_more_parts(several, 16, True, "out of memory")
