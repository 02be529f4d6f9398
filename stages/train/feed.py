"""What a training reads: images, or, where a part of the backbone stays frozen, what that part makes of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np

from ..shared.arrays import Arrays
from ..shared.model import Classifier
from ..shared.process import is_main
from .cache import FeatureStore, NoRoom
from .data import Images, Item, Source, augmentation
from .device import device_of
from .learner import Forward
from .params import Params
from .plan import Plan, frozen_throughout
from .prefix import NoCut, split


@dataclass(frozen=True)
class Feed:
    """`forward`: from what `source` gives to logits; None: the model itself. `views`: see data.EpochSampler."""

    source: Source
    forward: Forward | None = None
    views: int | None = None


@contextmanager
def make_feed(
    model: Classifier, plan: Plan, params: Params, arrays: Arrays, train: np.ndarray, validation: np.ndarray, seed: int
) -> Iterator[Feed]:
    """A prefix that stays frozen throughout is computed once per image and view, and training starts behind it."""
    augment = augmentation(params, arrays)
    images = Images(arrays, augment, seed)
    frozen = frozen_throughout(plan)
    if not frozen or not params.cache.enabled or params.mix is not None:  # a mixed image is new every time
        yield Feed(images)
        return
    views = min(params.cache.views, params.epochs) if augment else 1
    items: list[Item] = [(int(row), view) for row in train for view in range(views)]
    try:
        prefix, tail = split(model, frozen, (arrays.images.shape[3], *arrays.size))
        store = FeatureStore(
            prefix,
            images,
            params.cache,
            precision=params.precision,
            device=device_of(params),
            steps=params.augment,
            about={"source": params.backbone.source, "name": params.backbone.name},
        )
        store.fill([*items, *((int(row), None) for row in validation)])
    except (NoCut, NoRoom) as reason:
        if is_main():
            print(f"cache: {reason}; computing the frozen stages in every epoch instead.", file=sys.stderr)
        yield Feed(images, None, views)
        return
    with closing(store):
        yield Feed(store, tail, views)
