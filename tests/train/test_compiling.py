import os
import shutil

import pytest
import torch
import torch._inductor.compile_fx
from safetensors.torch import load_file

from stages.shared.core.errors import UserError
from stages.shared.core.job import Job
from stages.shared.core.paths import Key
from stages.train import run
from stages.train.machine.compiling import compiled

COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")


@pytest.mark.skipif(not COMPILER, reason="no C++ compiler here")
def test_a_compiled_forward_gives_the_same_answer_and_trains_the_same_parameters():
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    inputs = torch.randn(5, 4)
    expected = model(inputs)
    expected.sum().backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    outputs = compiled(model)(inputs)
    outputs.sum().backward()
    assert torch.allclose(outputs, expected, atol=1e-5)
    assert all(torch.allclose(g, p.grad, atol=1e-5) for g, p in zip(gradients, model.parameters(), strict=True))


@pytest.mark.skipif(not COMPILER, reason="no C++ compiler here")
def test_a_compiled_training_learns_what_an_uncompiled_one_does(processed, train_params, shipped, monkeypatch):
    """The last block and the head: a convolution, a norm and a linear layer, and their gradients."""
    weights, graphs = [], []
    compile_graph = torch._inductor.compile_fx.compile_fx  # what turns a traced graph into a program

    def note(*inputs, **options):
        graphs.append(inputs)
        return compile_graph(*inputs, **options)

    monkeypatch.setattr(torch._inductor.compile_fx, "compile_fx", note)
    backbone = {"source": "lightbox", "name": "small_cnn", "weights": str(shipped)}
    strategy = {"plan": "fine_tune", "last_blocks": 1}
    for compile in (False, True):
        params = train_params(epochs=2, backbone=backbone, strategy=strategy, compile=compile)
        result = run(params, Job(Key("small_cnn", "fine_tune", "full")))
        weights.append(load_file(result.model / "weights.safetensors"))
    assert graphs
    eager, graph = weights
    assert eager.keys() == graph.keys()
    assert all(torch.allclose(eager[name], graph[name], rtol=1e-2, atol=1e-3) for name in eager)


def test_without_a_compiler_the_message_says_what_to_install(monkeypatch):
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    with pytest.raises(UserError, match=r"train\.compile: nothing can be compiled here.*set compile: false"):
        compiled(torch.nn.Linear(2, 2))
