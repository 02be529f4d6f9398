"""The page: gathers what the templates show and renders one file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from ...shared.core.paths import report_dir
from ...shared.core.task import NEEDS
from ...shared.measures import MEASURES
from ...shared.measures.measure import Measure
from .. import text
from ..documents.checklist import counted
from ..documents.write import filled_checklists
from ..figures import examples, plans
from ..figures.style import Look
from ..numbers import cost, dataset, sites, thresholds
from ..numbers.board import best_on_validation
from ..numbers.comparison import Study, beside
from ..read import BEFORE_AFTER
from ..views import VIEWS
from . import advice, failures, features, operating, paired, pictures, sentences, subgroups, where
from .made import environments, own_settings, shared_settings
from .story import tell
from .svg import FIGURE_COLOURS, svg

TEMPLATES = Path(__file__).parent / "templates"
HEADER_IMAGES = 6
BEFORE_AFTER_SIDE = 1500  # pixels
COLUMNS = 5  # metrics on the leaderboard beside the one that decides; each model's card has the others


def page(study: Study, figures: Mapping[str, Figure]) -> str:
    """The report as HTML. `figures`: by name."""
    params, board, first = study.params, study.board, study.ranked[0]
    means = study.means if study.repeated else study.means.iloc[:0]
    chosen = best_on_validation(board)
    story = tell(study)
    rows = examples.choose(first, max(params.samples, HEADER_IMAGES), params.seed)
    pixels = examples.pixels_of(study.data, first, rows)
    images = [pictures.data_uri(Image.fromarray(image.squeeze())) for image in pixels]
    shown = study.shown.to_dict("records")
    models, view = [study.by_key[row["key"]] for row in shown], VIEWS[params.task]
    figure_of = view.cards(study)
    metrics, settings = MEASURES[params.task].metrics, shared_settings(study.ranked)
    others = sorted((name for name in metrics if name != study.metric), key=lambda name: not metrics[name].headline)
    return _environment().get_template("report.html.j2").render(
        study=study,
        title=story.title,
        verdict=story.verdict,
        warning=story.warning,
        notices=story.notices,
        chosen=None if chosen is None else chosen["key"],
        findings=story.findings,
        floor_headline=sentences.floor_headline(study.models, study.above, study.floor, study.measure, study.metric),
        floors=study.floors.to_dict("records"),
        above=study.above.to_dict("index"),
        **advice.of_page(study),
        header_images=images[:HEADER_IMAGES],
        classes=first.answers.classes,
        test={"images": len(first.test), "patients": int(first.test["patient"].nunique())},
        board=board.to_dict("records"),
        scale=scale(board, study.measure),
        shown=shown,
        means=means.to_dict("records"),
        seeds=sentences.seeds(study.trained),
        contrasts=study.contrasts.to_dict("records"),
        figures=figures,
        examples=list(zip(rows[: params.samples], images, strict=False)),
        models=models,
        counts=dataset.count(study.data.index, study.data.meta["classes"], NEEDS[params.task].masks),
        before_after=pictures.data_uri(
            pictures.read(report_dir("preprocess") / BEFORE_AFTER, "preprocess"), BEFORE_AFTER_SIDE
        ),
        view=params.task,
        classes_word=view.CLASSES,
        cards=[
            {"model": m, "row": row, "figure": figure_of(row["key"]), "about": view.CARD, **view.of_model(study, m)}
            for m, row in zip(models, shown, strict=True)
        ],
        look=Look(board),
        thresholds=thresholds.of_models(models),
        operating=operating.of_models(models),
        figure_colours=FIGURE_COLOURS,
        checklists=filled_checklists(study, story) if params.documents else [],
        environments=environments(study.ranked),
        settings=settings,
        own_settings={m.key: own_settings(m, settings) for m in study.ranked},
        plans_left_out=plans.left_out(study.models, study.by_key),
        level=text.level(board.confidence[0]),
        draws=first.metrics["bootstrap"],
        beside=beside(params),
        metrics=metrics,
        columns=others[:COLUMNS],
        rest=others[COLUMNS:],
        **features.of_page(study, models),
        **subgroups.of_page(study),
        **failures.of_page(study),
        **where.of_page(study, models),
        **cost.of_page(study.ranked),
        pooled=study.folds.to_dict("records"),
        scored=study.models.set_index("key").to_dict("index"),
        worth=study.worth,
        site_names=sites.sites_of(study.data.index),
        by_site=sites.by_site(study.ranked, study.data.index, study.task, study.metric),
        **paired.of_page(study),
        **view.of_page(study, rows[: params.samples]),
    )  # fmt: skip


def scale(board: pd.DataFrame, measure: Measure) -> tuple[float, float]:
    """Where the inline bars begin and end, in tenths, so that every interval of the table lies between. Those of a
    metric between 0 and 1 end at 1."""
    ends = board[["value_low", "value", "value_high"]].to_numpy(float)
    low = float(np.floor(np.nanmin(ends, initial=np.inf) * 10)) / 10
    if not np.isfinite(low):
        return 0.0, 1.0
    if measure.spread is not None:
        return min(low, 0.9), 1.0
    return low, max(float(np.ceil(np.nanmax(ends) * 10)) / 10, low + 0.1)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.globals["inline"] = lambda name: Markup((TEMPLATES / name).read_text(encoding="utf-8"))
    names = ("number", "signed", "span", "duration", "count", "images_needed", "images_span")
    environment.filters |= {name: getattr(text, name) for name in names}
    environment.filters |= {"svg": svg, "counted": counted, "sentence": lambda label: label[:1].upper() + label[1:]}
    return environment
