"""What the kernel has to hand out, counted by itself, in a process of its own."""

import ctypes
import os
import subprocess
import sys

import pytest

COUNT = """
import resource, sys
import numpy as np
from stages.shared.allocator import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    activations = np.ones(100_000_000, np.uint8)
    del activations
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.pythonapi, "mallopt"), reason="not glibc: nothing changes there")
def test_memory_that_was_freed_serves_again_without_the_kernel(repository):
    def pages(way):
        command = [sys.executable, "-c", COUNT, way]
        others = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")  # somebody else's choice of allocator
        environment = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        done = subprocess.run(command, cwd=repository, env=environment, check=True, capture_output=True, text=True)
        return int(done.stdout)

    assert pages("kept") < 100
    assert pages("usual") >= 40  # 100 MB, in pages of 4 kB or of 2 MB


def test_elsewhere_nothing_happens(monkeypatch):
    from stages.shared.core import allocator

    monkeypatch.setattr(allocator.ctypes, "pythonapi", object())
    allocator.keep_freed_memory()
