"""torch.compile, where something can be compiled."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch

from ...shared.core.errors import UserError


def compiled(forward: Callable[..., Any], device: torch.device | None = None) -> Callable[..., Any]:
    """`forward`, compiled at its first call; it keeps the modules and parameters it uses.

    Raises:
        UserError: nothing can be compiled on this machine; tried on a small function first.
    """
    from torch._inductor import config

    # afresh (a cached kernel would hide a missing compiler), without the headers that only pay for many kernels
    afresh = {"force_disable_caches": True, "cpp_cache_precompile_headers": False, "compile_threads": 1}
    try:
        with config.patch(afresh), warnings.catch_warnings(action="ignore"):
            torch.compile(lambda x: torch.relu(x) + 1)(torch.ones(2, device=device))
    except Exception as error:  # whatever goes wrong with a compiler
        raise UserError(
            f"params.yaml: train.compile: nothing can be compiled here ({str(error).strip().splitlines()[0]}). "
            "torch.compile needs a C++ compiler (such as Debian's g++; the variable CXX names it) and, on a GPU, "
            "Triton. Install one, or set compile: false."
        ) from None
    finally:
        torch.compiler.reset()
    return torch.compile(lambda *inputs: forward(*inputs))
