"""How a process finds memory for the activations of a network on a CPU."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # glibc's malloc.h
NEVER = -1  # trim: not even gigabytes
TOP_PAD = 2**28  # bytes asked of the kernel beside what is needed


def keep_freed_memory() -> None:
    """Let each step use the memory that the last one freed, for as long as this process lives.

    glibc maps a block of more than 32 MB for itself and gives it back when it is freed, so that every step waits while
    the kernel clears the same pages anew: a third of efficientnet_b0's training in float32, half of its prediction.
    Elsewhere than with glibc nothing changes. See mallopt(3).
    """
    mallopt = getattr(ctypes.pythonapi, "mallopt", None)
    if mallopt is not None:
        for setting, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, NEVER), (M_TOP_PAD, TOP_PAD)):
            mallopt(setting, value)
