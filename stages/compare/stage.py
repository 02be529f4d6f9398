"""compare at its edge: write reports/compare/, print the leaderboard."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pandas as pd

from ..shared.core import paths
from ..shared.core.files import atomic, write_json
from ..shared.core.job import Job, Result
from ..shared.figures.style import save
from . import terminal
from .documents import write as documents
from .figures import embedding
from .figures.all_figures import all_figures
from .numbers import curves
from .numbers.board import best_on_validation, for_file, with_missing
from .numbers.comparison import Study, analyse
from .page.guidelines import for_json, guidelines
from .page.render import page
from .params import Params
from .views import VIEWS


def run(params: Params, job: Job) -> Result:
    out = paths.report_dir("compare")
    study = analyse(params)
    write_tables(out, study)
    write_json(out / "metrics.json", validation_metrics(study))
    write_json(out / "tables/guidelines.json", [for_json(advice) for advice in guidelines(study)])
    figures = all_figures(study)
    html = page(study, figures)  # before the figures are saved: it fixes their layout
    files = [save(fig, out / "figures" / f"{name}.png") for name, fig in figures.items()]
    write_ensembles(out / "ensembles", study)
    documents.write(out / "documents", study, figures, dict(zip(figures, files, strict=True)))
    files += save_maps(out / "embeddings", study)
    with atomic(out / "index.html") as partial:
        partial.write_text(html, encoding="utf-8")
    if not os.environ.get("LIGHTBOX_DEFER_SUMMARY"):
        terminal.show(out)
    return Result(
        metrics=study_metrics(study),
        figures=(*files, out / "index.html"),
        datasets={"all": study.data.index},
        of_study=True,
    )


def write_ensembles(folder: Path, study: Study) -> None:
    """<name>/predictions.parquet and metrics.json of each."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for ensemble in study.pools:
        with atomic(folder / ensemble.name / "predictions.parquet") as partial:
            ensemble.test.to_parquet(partial, index=False)
        members = [str(key) for key in study.ensembles.set_index("name").loc[ensemble.name, "members"].split()]
        write_json(folder / ensemble.name / "metrics.json", {"test": ensemble.metrics, "members": members})


def save_maps(folder: Path, study: Study) -> list[Path]:
    """<key>.png of each model that figures show."""
    shutil.rmtree(folder, ignore_errors=True)
    labels = study.data.index.set_index("path")["label"].astype(str).to_dict()
    drawn = {key: embedding.maps(study.by_key[key], labels, study.data.meta["classes"]) for key in study.shown["key"]}
    return [save(fig, folder / f"{key}.png") for key, fig in drawn.items()]


def write_tables(out: Path, study: Study) -> None:
    own = {f"tables/{name}": table for name, table in VIEWS[study.params.task].tables(study).items()}
    watched = list(study.task.watched)[-1]  # DVC draws it, under one name for every task
    shutil.rmtree(out / "tables", ignore_errors=True)
    for name, table in {
        "leaderboard": for_file(with_missing(with_floor(study), study.missing), study.metric),
        "repeats": for_file(study.means, study.metric).rename(columns={"sample": "size"}),
        "contrasts": for_file(study.contrasts, study.metric),
        "histories": curves.of_all(study.ranked, lambda m: m.history.assign(val_score=m.history[watched])),
        "tables/paired": study.paired,
        "tables/optimism": study.optimism,
        "tables/ensembles": study.ensembles,
        "tables/floors": for_file(study.floors.drop(columns="about", errors="ignore"), study.metric),
        "tables/pooled": for_file(study.folds, study.metric),
        "tables/learning_curves": study.laws,
        "tables/questions": study.questions,
        "tables/pareto": for_file(study.fronts, study.metric),
        **own,
    }.items():
        with atomic(out / f"{name}.csv") as partial:
            table.to_csv(partial, index=False, float_format="%.6g", lineterminator="\n")


def with_floor(study: Study) -> pd.DataFrame:
    """The leaderboard with what each row reaches above the floor: its name and value, the difference with its interval,
    and better, worse or not shown to differ."""
    names = ["above_floor", "above_floor_low", "above_floor_high", "floor_verdict"]
    if study.floor is None:
        return study.board.assign(floor="", floor_value=None, **dict.fromkeys(names))
    own = study.above.loc[study.board["key"], ["difference", "low", "high", "verdict"]].set_axis(names, axis=1)
    value = study.floor.value("test", study.metric)
    return study.board.assign(floor=study.floor.key, floor_value=value).join(own.reset_index(drop=True))


def validation_metrics(study: Study) -> dict[str, dict[str, float]]:
    """What `dvc metrics` and `dvc exp show` print: of the model that validation chose, and of every model, the
    validation value of the metric that decides. No test scores: whoever chooses by them can no longer report them."""
    name, best = f"val_{study.metric}", best_on_validation(study.models)
    values = study.models.dropna(subset="val_value").set_index("key")["val_value"]
    rounded = {key: float(f"{value:.6g}") for key, value in values.items()}
    return {"chosen": {} if best is None else {name: rounded[best["key"]]}, name: rounded}


def study_metrics(study: Study) -> dict[str, float]:
    """For the tracking store: counts, and the validation metric of the model that it chose. No test scores: whoever
    chooses by them can no longer report them."""
    ties = int((study.models.tie & (study.models["rank"] > 1)).sum())
    counts: dict[str, float] = {"models": len(study.models), "missing": len(study.missing), "ties": ties}
    row = best_on_validation(study.models)
    return counts if row is None else counts | {f"val/{study.metric}": float(row["val_value"])}
