"""What a training reads: images, or, where a part of the backbone stays frozen, what that part makes of them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain

import torch

from ...shared.arrays.arrays import Arrays
from ...shared.model.model import Classifier
from ..data.batches import Images, Item, Source, augmentation
from ..loop.module import Forward
from ..machine.machine import Machine
from ..params import Params
from ..plan.apply import frozen_throughout
from ..plan.strategies import Plan
from ..sample import Rows
from .cache import FeatureStore, NoRoom
from .prefix import NoCut, Tail, split


@dataclass(frozen=True)
class Feed:
    """`forward`: from what `source` gives to logits; None: the model itself. `views`: see data.EpochSampler."""

    source: Source
    forward: Forward | None = None
    views: int | None = None


@contextmanager
def make_feed(
    model: Classifier, plan: Plan, params: Params, machine: Machine, arrays: Arrays, rows: Rows, seed: int
) -> Iterator[Feed]:
    """A prefix that stays frozen throughout is computed once per image and view, and training starts behind it."""
    images = Images(arrays, augmentation(params, arrays), seed)
    frozen = frozen_throughout(plan)
    if not frozen or not params.cache.enabled or params.mix is not None:  # a mixed image is new every time
        yield Feed(images)
        return
    views = min(params.cache.views, params.epochs) if images.augment else 1
    items = chain(
        ((row, view) for row in rows.train for view in range(views)), ((row, None) for row in rows.validation)
    )
    found = behind_cache(model, frozen, params, machine, images, items)
    if found is None:
        yield Feed(images, None, views)
        return
    store, tail = found
    with closing(store):
        yield Feed(store, tail, views)


def behind_cache(
    model: Classifier, frozen: Sequence[str], params: Params, machine: Machine, images: Images, items: Iterable[Item]
) -> tuple[FeatureStore, Tail] | None:
    """The filled cache and what comes behind it; None, and a word why, where the network or the machine allows none."""
    try:
        prefix, tail = split(model, frozen, (images.arrays.images.shape[3], *images.arrays.size))
        store = FeatureStore(
            prefix,
            images,
            params.cache,
            machine=machine,
            steps=params.augment,
            about={"source": params.backbone.source, "name": params.backbone.name},
        )
        store.fill(items)
    except (NoCut, NoRoom, torch.OutOfMemoryError) as reason:
        if machine.is_main:
            why = str(reason).splitlines()[0]
            print(f"cache: {why}; computing the frozen blocks in every epoch instead.", file=sys.stderr)
        return None
    return store, tail
