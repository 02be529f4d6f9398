"""What a user may say about the gate and the registry."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..shared.core.registered import Registered

Margin = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Params(Registered):
    """Between two models the gate asks whether the new one is at least as good but for a margin. Each answer is wrong
    with probability `alpha` at most; a new model has to pass all of them."""

    margin: Margin = 0.03
    """By how much the new model may be worse in `compare.sort_by`; 0: it has to be shown to be better."""
    sensitivity_margin: Margin = 0.05
    """By how much its sensitivity at the operating point may be lower."""
    subgroup_margin: Margin = 0.1
    """Reject a model that is shown to be worse than this in a group of the test images, in `compare.sort_by`."""
    min_patients: Annotated[int, Field(ge=2)] = 10
    """Test patients of the smallest group that is looked at."""
    floors: dict[str, float] = {"auroc": 0.7, "sensitivity": 0.7, "specificity": 0.5}
    """What a model has to reach whatever the champion does, by metric; of metrics that are better when lower, at most
    this."""
    calibration: Margin = 0.1
    """Largest calibration error (ECE) beyond what chance gives a perfect model on as many images."""
    latency_ms: Annotated[float, Field(gt=0)] = 1000.0
    """Longest median time of one image, from its bytes to the answer, on the machine that judges."""
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """Probability that a model which is worse by a whole margin passes that question."""
    power: Share = 0.8
    """With which the patients that are said to be missing would let an equally good model pass."""
    draws: Annotated[int, Field(ge=200)] = 2000
    """Bootstrap draws of the test patients."""
    wear: Annotated[int, Field(ge=1)] = 10
    """Decisions on the same test images after which the gate says that they are worn: each is another chance to pass by
    luck."""
