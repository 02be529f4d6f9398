"""BatchNorm's statistics before an epoch is judged: those of the present weights, whatever was seen on the way."""

import copy

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.optim.swa_utils import update_bn

from stages.train.recipe.batchnorm import settle


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2)
    )


def batches(count=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(6, 1, 8, 8, generator=generator) * 3 + 1,) for _ in range(count)]


def norms(model):
    return [module for module in model if isinstance(module, nn.BatchNorm2d)]


def statistics(model):
    return torch.cat([torch.cat([norm.running_mean, norm.running_var]) for norm in norms(model)])


def test_the_statistics_are_those_of_torchs_own_function():
    model = network()
    model[3].p = 0.0  # torch's function leaves dropout on
    expected = copy.deepcopy(model)
    update_bn([images for (images,) in batches()], expected)
    settle(norms(model), model, batches())
    assert torch.equal(statistics(model), statistics(expected))


def test_they_do_not_depend_on_what_was_seen_before_nor_on_dropout():
    first, second = network(), network()
    for (images,) in batches(seed=1):
        second(images)
    for model in (first, second):
        settle(norms(model), model.eval(), batches())
    assert torch.equal(statistics(first), statistics(second))


def test_what_is_frozen_keeps_its_statistics_and_every_module_its_mode_and_momentum():
    model = network().eval()
    before = model[1].running_var.clone()
    settle([model[5]], model, batches())
    assert torch.equal(model[1].running_var, before)
    assert not any(module.training for module in model)
    assert model[5].momentum == 0.1
    assert model[5].running_mean.abs().min() > 0


def half(rank, file):
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    model = network().eval()
    settle(norms(model)[:1], model, batches()[rank * 2 : rank * 2 + 2])
    torch.save(model[1].running_mean, f"{file}.{rank}")
    dist.destroy_process_group()


def test_processes_share_their_statistics(tmp_path):
    file = tmp_path / "meeting"
    torch.multiprocessing.spawn(half, (file,), nprocs=2)
    alone = network().eval()
    settle(norms(alone)[:1], alone, batches()[:4])
    for rank in range(2):
        assert torch.load(f"{file}.{rank}") == pytest.approx(alone[1].running_mean, abs=1e-6)
