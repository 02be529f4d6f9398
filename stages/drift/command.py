"""`python -m stages drift`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..shared.core.errors import UserError
from ..shared.core.paths import PARAMS
from ..shared.core.settings import read
from ..study import resolve, source_in_words, tool_settings
from ..usage import description
from .params import Params

if TYPE_CHECKING:
    from ..shared.exported.export import Export
    from .read import New
    from .verdict import Findings

DRIFT, TOO_FEW = 3, 4
"""Exit codes; 0: no drift shown."""


def add_commands(commands: Any) -> None:
    drift = commands.add_parser(
        "drift",
        help="Are new images like those that the model was tested on?",
        description=description(
            "Compare new images with those that the model was validated and tested on, and name what differs: "
            "prevalence, acquisition or population. Say which images: a folder or a .zip, --served or --study. "
            "docs/drift.md explains it.",
            reads="params.yaml (section drift), models/onnx/<key>/, the new images; with --served the server's log "
            "and the export of the model that answered last",
            writes="reports/drift/, a run of MLflow",
            example="python -m stages drift /data/this_month",
            codes="0 no drift shown, 3 drift, 4 too few patients, 1 failed",
        ),
    )
    drift.add_argument("folder", nargs="?", type=Path, help="new images, without labels: a folder or a .zip")
    drift.add_argument("--served", action="store_true", help="those that the server has seen (.lightbox/served)")
    drift.add_argument("--study", action="store_true", help="those of data/raw.zip that the model does not know")
    drift.add_argument(
        "--model",
        metavar="KEY",
        help="an exported model; default: the one that validation chose; with --served the one that answered last",
    )
    drift.set_defaults(action=run, goes_on="python -m stages drift")


def run(arguments: argparse.Namespace) -> int:
    if sum([arguments.folder is not None, arguments.served, arguments.study]) != 1:
        raise UserError("drift: say which new images: a folder or a .zip, or --served, or --study.")
    from ..shared.exported.chosen import chosen_key
    from ..shared.exported.export import ROOT, Export
    from . import read as images

    raw = read()
    params = tool_settings(Params, raw, "drift")
    if arguments.served:
        export, new = of_server(Export.read(ROOT / arguments.model) if arguments.model else None, params)
        return code(watch(export, new, params, raw))
    export = Export.read(ROOT / (arguments.model or chosen_key()))
    if arguments.study:
        new = images.of_study(export)
    else:
        new = images.of_folder(arguments.folder, export, params.patient or resolve("validate", raw).patient)
    return code(watch(export, new, params, raw))


def of_server(export: Export | None, params: Params) -> tuple[Export, New]:
    """The export of the version that answered last, and the images that its network has seen. `export`: one that the
    user names; only images that its network has seen count then."""
    from ..shared.exported import served
    from . import server

    seen = server.seen(served.folder(), params.days, export.certificate.onnx_sha256 if export else None)
    return export or server.export_of(seen), server.images(seen)


def code(findings: Findings) -> int:
    return TOO_FEW if findings.name == "too_few" else DRIFT if findings.alarm else 0


def watch(export: Export, new: New, params: Params, raw: Mapping[str, Any]) -> Findings:
    """Compare, print, write reports/drift and a run of MLflow.

    Raises:
        UserError: MLflow cannot be reached.
    """
    import numpy as np

    from ..shared.core.job import Result
    from ..shared.tracking.recording import recording
    from . import read as images
    from . import report, sentences
    from .statistics.battery import Options
    from .verdict import judge

    options = Options(params.alpha, params.permutations, params.draws, params.confidence, params.seed)
    rng = np.random.default_rng(params.seed)
    reference = images.reference(export).at_most(params.images, rng)
    new = new.at_most(params.images, rng)
    title = f"{raw['task']}, {source_in_words(raw)}"
    about = "New images against those that the model was validated and tested on."
    logged = {"drift": params.model_dump(mode="json"), "model": export.recipe.key}
    with recording("drift", None, logged, None, about, title) as recorder:
        findings = judge(reference, new.sample, options, params.patients)
        figures = report.write(findings, reference, new, export, params)
        recorder.result = Result(metrics=report.metrics(findings), figures=figures)
    for line in sentences.lines(findings, new, export.classes, params.alpha, params.patients):
        print(line)
    print(f"Report: {report.PAGE}. What the words mean: docs/drift.md ({PARAMS}: drift).")
    return findings
