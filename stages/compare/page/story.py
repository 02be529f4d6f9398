"""What the study says in sentences: on the page's first screen, on slides, in the PDF."""

from __future__ import annotations

from dataclasses import dataclass

from ..numbers.comparison import Study
from . import paired, sentences, subgroups


@dataclass(frozen=True)
class Story:
    """`verdict`: the answer to `title`; empty where the title is the user's. `findings`: (heading, text)."""

    title: str
    verdict: str
    warning: str
    notices: list[str]
    findings: list[tuple[str, str]]


def tell(study: Study) -> Story:
    params, measure = study.params, study.measure
    means = study.means if study.repeated else study.means.iloc[:0]
    picks = sentences.chosen(study.contrasts, measure)
    several_backbones = study.models["backbone"].nunique() > 1
    images = len(study.ranked[0].test)
    findings = sentences.findings(picks, study.board, params.baseline, images, means, measure, paired.luck(study))
    floor = sentences.against_floor(study.models, study.above, study.floor, measure, study.metric)
    starts = {m.summary["start"]: m.start for m in study.ranked}
    return Story(
        title=params.title or sentences.question(picks, params.baseline),
        verdict="" if params.title else sentences.verdict(picks, params.baseline, measure, several_backbones),
        warning=sentences.shortcuts(study.data.shortcuts),
        notices=[*sentences.notices(study.data.validation, study.models, starts), *subgroups.notices(study)],
        findings=[*findings, *([("Against the floor", floor)] if floor else [])],
    )
