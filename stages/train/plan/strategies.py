"""Strategies as data: for each epoch and parameter group, a learning-rate multiplier, or None for frozen.

The groups are the backbone's blocks, in order, then "head". A plan names every group in every epoch. Where the head is
a memory, the plan is one epoch in which nothing learns.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...shared.core.errors import UserError
from ...shared.model.memories.settings import Knn, Mahalanobis, Padim, PatchKnn
from ..params.strategies import (
    DiscriminativeLR,
    FeatureExtraction,
    FineTune,
    FromScratch,
    LinearProbeFineTune,
    ProgressiveUnfreezing,
    Strategy,
)

HEAD = "head"
Epoch = dict[str, float | None]
Plan = list[Epoch]


def make_plan(strategy: Strategy, blocks: Sequence[str], epochs: int) -> Plan:
    """One entry per epoch; a single one for a memory.

    Raises:
        UserError: the strategy asks for more blocks than there are, or for what comes after the last epoch.
    """
    match strategy:
        case FromScratch():
            return [dict.fromkeys([*blocks, HEAD], 1.0)] * epochs
        case FeatureExtraction(head_lr=rate):
            return [head_alone(blocks, rate)] * epochs
        case FineTune():
            return [last_learn(blocks, strategy)] * epochs
        case ProgressiveUnfreezing():
            return progressive_unfreezing(strategy, blocks, epochs)
        case DiscriminativeLR(frozen_epochs=alone):
            check_learns("frozen_epochs", alone, epochs, strategy)
            return [head_alone(blocks, 1.0)] * alone + [geometric(blocks, strategy)] * (epochs - alone)
        case Knn() | PatchKnn() | Mahalanobis() | Padim():
            return [dict.fromkeys([*blocks, HEAD])]
        case LinearProbeFineTune():
            return linear_probe_fine_tune(strategy, blocks, epochs)


def progressive_unfreezing(strategy: ProgressiveUnfreezing, blocks: Sequence[str], epochs: int) -> Plan:
    """Blocks join from the last one on; under `every`, some may join too late to learn at all."""
    if strategy.every is not None:
        check_learns("every", strategy.every, epochs, strategy)
        joining = [strategy.every * turn for turn in range(1, last(strategy, blocks) + 1)]
    else:
        joining = strategy.at or []
        if len(joining) > len(blocks):
            raise too_many(f"at has {len(joining)} epochs", blocks, "Give one epoch a block at most.")
        if joining[-1] >= epochs:
            raise UserError(
                f"strategy: at is {joining} (plan: progressive_unfreezing), and train.epochs is {epochs}: a block that "
                f"joins after {joining[-1]} epochs never learns. Give 0 to {epochs - 1}."
            )
    joins = {HEAD: 0} | dict(zip(reversed(blocks), joining, strict=False))
    rates = geometric(blocks, strategy)
    return [{g: rates[g] if epoch >= joins.get(g, epochs) else None for g in rates} for epoch in range(epochs)]


def linear_probe_fine_tune(strategy: LinearProbeFineTune, blocks: Sequence[str], epochs: int) -> Plan:
    alone = strategy.probe_epochs
    if isinstance(alone, float):
        alone = min(max(round(alone * epochs), 1), max(epochs - 1, 1))
    check_learns("probe_epochs", alone, epochs, strategy)
    tuned = last_learn(blocks, strategy) | {HEAD: strategy.backbone_lr}
    return [head_alone(blocks, strategy.head_lr)] * alone + [tuned] * (epochs - alone)


def head_alone(blocks: Sequence[str], rate: float) -> Epoch:
    return dict.fromkeys(blocks, None) | {HEAD: rate}


def last_learn(blocks: Sequence[str], strategy: FineTune | LinearProbeFineTune) -> Epoch:
    """The last blocks at the strategy's rate, the head at 1."""
    cut = len(blocks) - last(strategy, blocks)
    return dict.fromkeys(blocks[:cut], None) | dict.fromkeys(blocks[cut:], strategy.backbone_lr) | {HEAD: 1.0}


def geometric(blocks: Sequence[str], strategy: ProgressiveUnfreezing | DiscriminativeLR) -> Epoch:
    """The last block at the strategy's rate, each one before it at `decay` times the rate of the one behind it; the
    head at 1."""
    distances = reversed(range(len(blocks)))
    rates = {b: strategy.backbone_lr * strategy.decay**d for b, d in zip(blocks, distances, strict=True)}
    return {**rates, HEAD: 1.0}


def last(strategy: FineTune | LinearProbeFineTune | ProgressiveUnfreezing, blocks: Sequence[str]) -> int:
    """How many blocks `last_blocks` means."""
    count = len(blocks) if strategy.last_blocks == "all" else strategy.last_blocks
    if count > len(blocks):
        raise too_many(f"last_blocks is {count}", blocks, f"Give 1 to {len(blocks)}, or all.")
    return count


def too_many(what: str, blocks: Sequence[str], remedy: str) -> UserError:
    return UserError(f"strategy: {what}, and the backbone has {len(blocks)} blocks ({', '.join(blocks)}). {remedy}")


def check_learns(key: str, alone: int, epochs: int, strategy: Strategy) -> None:
    """Raises UserError where the head learns alone to the end."""
    if alone >= epochs:
        valid = f"Give less than {epochs}, or" if epochs > 1 else "Raise train.epochs, or"
        raise UserError(
            f"strategy: {key} is {getattr(strategy, key)} (plan: {strategy.plan}), and train.epochs is {epochs}: the "
            f"backbone would never learn. {valid} take plan: feature_extraction."
        )
