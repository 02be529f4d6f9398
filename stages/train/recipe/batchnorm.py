"""BatchNorm's running statistics, as of the present weights.

In training BatchNorm normalises by the batch, and keeps running means of what it sees. These lag behind the weights by
about ten steps; after few steps they are still half the zeros and ones they started from. A model judged with them may
call every image one class though its ranking is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
import torch.distributed as dist
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm


def settle(
    norms: Sequence[BatchNorm], forward: Callable[..., object], batches: Iterable[Sequence[torch.Tensor]]
) -> None:
    """Set the running statistics of `norms` to the mean over these batches, which `forward` takes; the processes that
    train one model together share theirs. All other modules stay in their mode, and `norms` end in eval mode.

    As torch.optim.swa_utils.update_bn, which would also reset the statistics of frozen blocks.
    """
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean
        norm.train()
    with torch.no_grad():
        for batch in batches:
            forward(*batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
        if dist.is_initialized():
            for statistic in (norm.get_buffer("running_mean"), norm.get_buffer("running_var")):
                dist.all_reduce(statistic)
                statistic /= dist.get_world_size()
