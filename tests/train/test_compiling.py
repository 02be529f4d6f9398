import os
import shutil

import pytest
import torch

from stages.shared.errors import UserError
from stages.train.compiling import compiled

COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")


@pytest.mark.skipif(not COMPILER, reason="no C++ compiler here")
def test_a_compiled_forward_gives_the_same_answer_and_trains_the_same_parameters():
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    inputs = torch.randn(5, 4)
    expected = model(inputs)
    expected.sum().backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    found = compiled(model)(inputs)
    found.sum().backward()
    assert torch.allclose(found, expected, atol=1e-5)
    assert all(torch.allclose(g, p.grad, atol=1e-5) for g, p in zip(gradients, model.parameters(), strict=True))


def test_a_machine_without_a_compiler_is_told_what_to_install(monkeypatch):
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    with pytest.raises(UserError, match=r"train\.compile: nothing can be compiled here.*set compile: false"):
        compiled(torch.nn.Linear(2, 2))
