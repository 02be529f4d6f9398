"""What the page shows of what to use, of cost, and of learning curves."""

from __future__ import annotations

from typing import Any

from ..numbers import pareto
from ..numbers.comparison import Study
from .guidelines import guidelines
from .questions import questions


def of_page(study: Study) -> dict[str, Any]:
    front = study.fronts[study.fronts["front"].astype(bool)]
    return {
        "advice": guidelines(study),
        "pareto": front.to_dict("records"),
        "kinds_of_cost": pareto.COSTS,
        "laws": study.laws.to_dict("records"),
        "questions": questions(study),
    }
