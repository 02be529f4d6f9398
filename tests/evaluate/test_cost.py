"""What a prediction costs."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from stages.evaluate import cost
from stages.shared.core.judging import Cost
from stages.shared.model.predict import as_tensor
from stages.shared.model.recipe import Architecture
from stages.shared.tasks.models import create

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("task", "source", "name", "side"),
    [
        ("classification", "lightbox", "small_cnn", 32),
        ("segmentation", "lightbox", "small_cnn", 32),
        ("classification", "timm", "vit_tiny_patch16_224", 224),
    ],
)
def test_operations_are_those_of_torch_s_own_counter(task, source, name, side):
    model = create(task, Architecture(source=source, name=name), 2).eval()
    image = np.zeros((1, side, side, 1), np.uint8)
    with torch.no_grad():
        with FlopCounterMode(display=False) as counter:
            run(model, as_tensor(image))
        flops, _ = cost.counted(lambda: run(model, as_tensor(image)), model, CPU)
    assert flops == counter.get_total_flops() > 1e5


def run(model, images):
    model(images)


def test_a_convolution_takes_two_operations_a_product_and_the_memory_of_its_maps():
    layer = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.ReLU(inplace=True))
    x = torch.zeros(2, 3, 10, 10)
    with torch.no_grad():
        flops, memory = cost.counted(lambda: run(layer, x), layer, CPU)
    assert flops == 2 * 2 * 8 * 8 * 8 * 3 * 9  # images, height, width, channels out, in, kernel
    assert memory == 4 * (8 * 3 * 9 + 2 * 8 * 8 * 8)  # the ReLU works in place


def test_a_tensor_that_is_gone_takes_no_memory():
    def chain():
        x = torch.ones(1000)
        for _ in range(5):
            x = x + 1  # two at one time

    with torch.no_grad():
        assert cost.counted(chain, nn.Identity(), CPU)[1] == 8000


def test_times_are_in_milliseconds_with_their_quartiles():
    passes = cost.timed(lambda: time.sleep(0.004), 0.04)
    assert cost.LEAST <= len(passes) <= 11
    values = cost.summary([0.001, 0.002, 0.003, 0.004, 0.1])
    assert values == {"value": pytest.approx(3), "low": pytest.approx(2), "high": pytest.approx(4), "passes": 5}
    assert len(cost.timed(lambda: time.sleep(0.02), 0.002)) == 1  # slow: once has to do


def test_everything_is_measured_and_the_number_of_threads_is_put_back():
    model = create("classification", Architecture(source="lightbox", name="small_cnn"), 2)
    before = torch.get_num_threads()
    result = cost.measure(model, np.zeros((3, 32, 32, 1), np.uint8), Cost(seconds=0.01, threads=1))
    assert torch.get_num_threads() == before
    assert result["parameters"] == sum(p.numel() for p in model.parameters())
    assert set(result["latency_ms"]) == set(result["memory_mb"]) == {"1", "32"}
    assert all(own["low"] <= own["value"] <= own["high"] for own in result["latency_ms"].values())
    assert result["memory_mb"]["32"] > result["memory_mb"]["1"] > 4e-6 * result["parameters"]
    assert result["machine"]["threads"] == 1
    assert result["machine"]["device"]


def test_mlflow_gets_what_was_measured():
    cost_of = {
        "parameters": 5, "flops": 7, "latency_ms": {"1": {"value": 2.0}}, "memory_mb": {"1": 3.0},
        "energy_j": {"value": None},
    }  # fmt: skip
    expected = {"cost/parameters": 5, "cost/flops": 7, "cost/latency_1_ms": 2, "cost/memory_1_mb": 3}
    assert cost.headlines(cost_of) == expected


def test_a_gpu_that_counts_no_energy_says_so(monkeypatch):
    class NVMLError(Exception):
        pass

    def unsupported(handle):
        raise NVMLError("Not Supported")

    pynvml = SimpleNamespace(
        NVMLError=NVMLError, nvmlInit=lambda: None, nvmlDeviceGetHandleByUUID=lambda name: name,
        nvmlDeviceGetTotalEnergyConsumption=unsupported,
    )  # fmt: skip
    monkeypatch.setattr("importlib.util.find_spec", lambda name: pynvml)
    monkeypatch.setattr("importlib.import_module", lambda name: pynvml)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="1"))
    meter = cost.energy_meter(torch.device("cuda"))
    assert meter.source == "not readable here (Not Supported)"
    assert np.isnan(meter.read())


def test_energy_is_read_where_there_is_a_counter_and_else_it_says_why(tmp_path):
    missing = cost.energy_meter(CPU, tmp_path)
    assert np.isnan(missing.read())
    assert missing.source == "not readable here (no counter in /sys/class/powercap)"
    for name, value in (("intel-rapl:0", 3_000_000), ("intel-rapl:1", 500_000), ("intel-rapl:0:0", 9)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{value}\n")
    meter = cost.energy_meter(CPU, tmp_path)
    assert meter.read() == 3.5  # both packages; a part of one is in it
    assert meter.source.startswith("RAPL")
