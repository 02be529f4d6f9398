"""Strategies as data: for each epoch and parameter group, a learning-rate multiplier, or None for frozen.

The groups are the backbone's blocks, in order, then "head". A plan names every group in every epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...shared.core.errors import UserError
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


def from_scratch(strategy: FromScratch, blocks: Sequence[str], epochs: int) -> Plan:
    return [dict.fromkeys([*blocks, HEAD], 1.0)] * epochs


def feature_extraction(strategy: FeatureExtraction, blocks: Sequence[str], epochs: int) -> Plan:
    return [head_alone(blocks, strategy.head_lr)] * epochs


def fine_tune(strategy: FineTune, blocks: Sequence[str], epochs: int) -> Plan:
    return [last_learn(blocks, last(strategy, blocks), strategy.backbone_lr)] * epochs


def progressive_unfreezing(strategy: ProgressiveUnfreezing, blocks: Sequence[str], epochs: int) -> Plan:
    rates = geometric(blocks, strategy.backbone_lr, strategy.decay)
    joins = dict(zip(reversed(blocks), joining_epochs(strategy, blocks, epochs), strict=False))
    return [
        {block: rates[block] if epoch >= joins.get(block, epochs) else None for block in blocks} | {HEAD: 1.0}
        for epoch in range(epochs)
    ]


def discriminative_lr(strategy: DiscriminativeLR, blocks: Sequence[str], epochs: int) -> Plan:
    alone = strategy.frozen_epochs
    if alone >= epochs:
        raise never_learns("frozen_epochs", alone, epochs, "discriminative_lr")
    everything = geometric(blocks, strategy.backbone_lr, strategy.decay) | {HEAD: 1.0}
    return [head_alone(blocks, 1.0)] * alone + [everything] * (epochs - alone)


def linear_probe_fine_tune(strategy: LinearProbeFineTune, blocks: Sequence[str], epochs: int) -> Plan:
    alone = strategy.probe_epochs
    if isinstance(alone, float):
        alone = min(max(round(alone * epochs), 1), max(epochs - 1, 1))
    if alone >= epochs:
        raise never_learns("probe_epochs", strategy.probe_epochs, epochs, "linear_probe_fine_tune")
    tuned = last_learn(blocks, last(strategy, blocks), strategy.backbone_lr) | {HEAD: strategy.backbone_lr}
    return [head_alone(blocks, strategy.head_lr)] * alone + [tuned] * (epochs - alone)


PLANS: dict[str, Callable[[Any, Sequence[str], int], Plan]] = {
    "from_scratch": from_scratch,
    "feature_extraction": feature_extraction,
    "fine_tune": fine_tune,
    "progressive_unfreezing": progressive_unfreezing,
    "discriminative_lr": discriminative_lr,
    "linear_probe_fine_tune": linear_probe_fine_tune,
}


def make_plan(strategy: Strategy, blocks: Sequence[str], epochs: int) -> Plan:
    """One entry per epoch.

    Raises:
        UserError: the strategy asks for more blocks than there are, or for what comes after the last epoch.
    """
    return PLANS[strategy.plan](strategy, blocks, epochs)


def head_alone(blocks: Sequence[str], rate: float) -> Epoch:
    return dict.fromkeys(blocks, None) | {HEAD: rate}


def last_learn(blocks: Sequence[str], count: int, rate: float) -> Epoch:
    """The last `count` blocks at `rate`, the head at 1."""
    cut = len(blocks) - count
    return dict.fromkeys(blocks[:cut], None) | dict.fromkeys(blocks[cut:], rate) | {HEAD: 1.0}


def geometric(blocks: Sequence[str], rate: float, decay: float) -> Epoch:
    """The last block at `rate`, each one before it at `decay` times the rate of the one behind it."""
    return {block: rate * decay**distance for distance, block in zip(range(len(blocks))[::-1], blocks, strict=True)}


def last(strategy: FineTune | LinearProbeFineTune | ProgressiveUnfreezing, blocks: Sequence[str]) -> int:
    """How many blocks `last_blocks` means."""
    count = len(blocks) if strategy.last_blocks == "all" else strategy.last_blocks
    if count > len(blocks):
        raise too_many(f"last_blocks is {count}", blocks, f"Give 1 to {len(blocks)}, or all.")
    return count


def joining_epochs(strategy: ProgressiveUnfreezing, blocks: Sequence[str], epochs: int) -> list[int]:
    """When each block joins, from the last block on; under `every`, some may join too late to learn at all."""
    if strategy.at is None:
        assert strategy.every is not None  # the settings see to it
        if strategy.every >= epochs:
            raise never_learns("every", strategy.every, epochs, "progressive_unfreezing")
        return [strategy.every * turn for turn in range(1, last(strategy, blocks) + 1)]
    if len(strategy.at) > len(blocks):
        raise too_many(f"at has {len(strategy.at)} epochs", blocks, "Give one epoch a block at most.")
    if strategy.at[-1] >= epochs:
        raise UserError(
            f"strategy: at is {strategy.at} (plan: progressive_unfreezing), and train.epochs is "
            f"{epochs}: a block that joins after {strategy.at[-1]} epochs never learns. Give 0 to {epochs - 1}."
        )
    return strategy.at


def too_many(what: str, blocks: Sequence[str], remedy: str) -> UserError:
    return UserError(f"strategy: {what}, and the backbone has {len(blocks)} blocks ({', '.join(blocks)}). {remedy}")


def never_learns(key: str, value: float, epochs: int, plan: str) -> UserError:
    valid = f"Give less than {epochs}, or" if epochs > 1 else "Raise train.epochs, or"
    return UserError(
        f"strategy: {key} is {value} (plan: {plan}), and train.epochs is {epochs}: the backbone would "
        f"never learn. {valid} take plan: feature_extraction."
    )
