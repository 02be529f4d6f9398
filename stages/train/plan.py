"""Strategies as data: for each epoch and parameter group, a learning-rate multiplier, or None for frozen.

The groups are the backbone's stages, in order, then "head". A plan names every group in every epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..shared.errors import UserError
from .params import FeatureExtraction, FineTune, FromScratch

HEAD = "head"
Epoch = dict[str, float | None]
Plan = list[Epoch]


def from_scratch(strategy: FromScratch, stages: Sequence[str], epochs: int) -> Plan:
    return [dict.fromkeys([*stages, HEAD], 1.0)] * epochs


def feature_extraction(strategy: FeatureExtraction, stages: Sequence[str], epochs: int) -> Plan:
    return [dict.fromkeys(stages, None) | {HEAD: strategy.head_lr}] * epochs


def fine_tune(strategy: FineTune, stages: Sequence[str], epochs: int) -> Plan:
    count = len(stages) if strategy.last_stages == "all" else strategy.last_stages
    if count > len(stages):
        raise UserError(
            f"params.yaml: strategies: last_stages is {count}, and the backbone has {len(stages)} stages "
            f"({', '.join(stages)}). Give 1 to {len(stages)}, or all."
        )
    frozen, learning = stages[: len(stages) - count], stages[len(stages) - count :]
    return [dict.fromkeys(frozen, None) | dict.fromkeys(learning, strategy.backbone_lr) | {HEAD: 1.0}] * epochs


PLANS: dict[str, Callable[[Any, Sequence[str], int], Plan]] = {
    "from_scratch": from_scratch,
    "feature_extraction": feature_extraction,
    "fine_tune": fine_tune,
}


def make_plan(strategy: FromScratch | FeatureExtraction | FineTune, stages: Sequence[str], epochs: int) -> Plan:
    """One entry per epoch. Raises UserError when the strategy asks for more stages than there are."""
    return PLANS[strategy.plan](strategy, stages, epochs)
