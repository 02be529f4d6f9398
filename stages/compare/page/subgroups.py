"""Groups of the test images: what the page says of the chosen model's scores in each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...shared.measures.measure import Measure
from ..figures.subgroups import forest, sized
from ..numbers.board import best_on_validation
from ..numbers.comparison import Study
from ..read import Member
from ..text import signed, signed_span


def of_page(study: Study) -> dict[str, Any]:
    """What subgroups.j2 shows."""
    models, metrics = study.ranked, study.task.metrics
    chosen = reported(study)
    section = chosen.metrics["subgroups"]
    names = metrics_of(section)
    labels = {name: metrics[name].label for name in names}
    overall = {name: chosen.value("test", name) for name in names}
    return {
        "subgroups": {
            "model": chosen,
            "section": section,
            "metrics": {name: metrics[name].short for name in names},
            "figure": forest(section, labels, overall, chosen.metrics["confidence"]) if names else None,
            "sentence": sentence(section, metrics),
            "small": small_groups(section),
            "others": [(m, m.metrics["subgroups"], gaps_in_words(m.metrics["subgroups"], metrics)) for m in models],
        }
    }


def reported(study: Study) -> Member:
    """The model that validation chooses, or the first of the leaderboard where no model has a validation value."""
    row = best_on_validation(study.models)
    return study.ranked[0] if row is None else study.by_key[row["key"]]


def metrics_of(section: Mapping[str, Any]) -> list[str]:
    groups = [group for column in section["columns"].values() for group in sized(column)]
    return list(groups[0]["metrics"]) if groups else []


def small_groups(section: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"column": column["title"], **group}
        for column in section["columns"].values()
        for group in column["groups"]
        if not group["metrics"]
    ]


def sentence(section: Mapping[str, Any], metrics: Mapping[str, Measure]) -> str:
    """What the gaps say, and among how many comparisons."""
    compared = section["comparisons"]
    if not compared:
        return "There are no two groups that are large enough to be compared."
    among = f"among {compared} comparison{'s' * (compared != 1)} of two groups by one metric"
    words = gaps_in_words(section, metrics)
    if not words:
        return f"No gap between groups is shown {among}. That is no proof of equal scores: the groups are small."
    number = "A gap is" if section["shown"] == 1 else f"{section['shown']} gaps are"
    return f"{number} shown {among}: {'; '.join(words)}."


def gaps_in_words(section: Mapping[str, Any], metrics: Mapping[str, Measure]) -> list[str]:
    """Of each column and metric with a gap that is shown, the two groups that differ most surely."""
    return [
        f"{column['title']}: {metrics[name].label} is {'higher' if gap['value'] > 0 else 'lower'} for “{gap['a']}” "
        f"than for “{gap['b']}” ({signed(gap['value'])} [{signed_span(gap['low'], gap['high'])}])"
        for column in section["columns"].values()
        for name, gap in column["gaps"].items()
        if gap["shown"]
    ]


def notices(study: Study) -> list[str]:
    """For the first screen: only where a gap is shown."""
    section = reported(study).metrics["subgroups"]
    if not section["shown"]:
        return []
    return [f"The chosen model does not do equally well in all groups. {sentence(section, study.task.metrics)}"]
