"""What the kernel has to hand out, counted by itself, in a process of its own."""

import ctypes
import os
import subprocess
import sys

import pytest

COUNT = """
import resource, sys
import numpy as np
from stages.shared.core.allocator import keep_freed_memory

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


class Library:
    """A C library that notes what it is asked; with glibc's mallopt or without."""

    def __init__(self, glibc):
        self.calls = []
        if glibc:
            self.mallopt = lambda *setting: self.calls.append(setting)


@pytest.mark.parametrize("glibc", [True, False])
def test_only_glibc_is_asked_and_elsewhere_nothing_fails(monkeypatch, glibc):
    """The numbers are those of glibc's malloc.h, and of mallopt(3)."""
    from stages.shared.core import allocator

    library = Library(glibc)
    monkeypatch.setattr(allocator.ctypes, "pythonapi", library)
    allocator.keep_freed_memory()
    m_mmap_max, m_trim_threshold, m_top_pad = -4, -1, -2
    assert library.calls == ([(m_mmap_max, 0), (m_trim_threshold, -1), (m_top_pad, 2**28)] if glibc else [])
