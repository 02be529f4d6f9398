"""What a training reads: images, or, where a part of the backbone stays frozen, what that part makes of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import chain

import torch

from ...shared.model.model import Model
from ..batches import Images, Source
from ..loop.module import Forward
from ..machine.machine import Machine
from ..params.machine import Cache
from ..sample import Rows
from .cut import NoCut, split
from .disk import NoRoom
from .store import FeatureStore


@dataclass(frozen=True)
class Feed:
    """`forward`: from what `source` gives to logits; None: the model itself. `views`: see batches.EpochSampler."""

    source: Source
    forward: Forward | None = None
    views: int | None = None


@contextmanager
def make_feed(
    model: Model,
    frozen: Sequence[str],
    images: Images,
    rows: Rows,
    cache: Cache,
    epochs: int,
    machine: Machine,
) -> Iterator[Feed]:
    """The leading blocks that stay `frozen` throughout are computed once per image and view, and training starts behind
    them. Where the network or the machine does not allow that, it says why and gives the same views of the images."""
    if not frozen or not cache.enabled:
        yield Feed(images)
        return
    views = min(cache.views, epochs) if images.steps else 1
    items = chain(
        ((row, view) for row in rows.train for view in range(views)), ((row, None) for row in rows.validation)
    )
    feed = Feed(images, None, views)
    with ExitStack() as open_store:
        try:
            prefix, tail = split(model, frozen, (images.arrays.images.shape[3], *images.arrays.size))
            store = open_store.enter_context(closing(FeatureStore(prefix, images, cache.max_gb, machine)))
            store.fill(items)
            feed = Feed(store, tail, views)
        except (NoCut, NoRoom, torch.OutOfMemoryError) as error:
            open_store.close()
            if machine.is_main:
                reason = str(error).splitlines()[0]
                print(f"cache: {reason}; computing the frozen blocks in every epoch instead.", file=sys.stderr)
        yield feed
