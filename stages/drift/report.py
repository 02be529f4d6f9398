"""reports/drift: drift.json for programs, drift.md for a job's summary, index.html for people."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..shared.core.files import atomic, finite, write_json
from ..shared.core.paths import report_dir
from ..shared.exported.export import Export
from . import figures, sentences
from .params import Params
from .read import File, New
from .statistics.battery import Comparison
from .statistics.sample import Sample
from .verdict import Findings

FOLDER = report_dir("drift")
PAGE, MARKDOWN, NUMBERS = FOLDER / "index.html", FOLDER / "drift.md", FOLDER / "drift.json"
FIGURES = SEPARATION, FACTS, SHARES = tuple(FOLDER / f"{name}.png" for name in ("separation", "facts", "shares"))
TEMPLATE = Path(__file__).with_name("report.html.j2")
SHOWN, SIDE = 8, 160  # images that are least like the reference; px


def write(findings: Findings, reference: Sample, new: New, export: Export, params: Params) -> tuple[Path, ...]:
    """All of it; returns the figures."""
    drawn = draw(findings, reference, new.sample, export.classes)
    write_json(NUMBERS, numbers(findings, new, export))
    text = sentences.markdown(findings, new, export.classes, params.alpha, params.patients)
    for path, content in ((MARKDOWN, text), (PAGE, page(findings, new, export, params, drawn))):
        with atomic(path) as partial:
            partial.write_text(content, encoding="utf-8")
    return tuple(drawn)


def draw(findings: Findings, reference: Sample, new: Sample, classes: Sequence[str]) -> list[Path]:
    """Figures of an earlier comparison go: this one may have none in their place."""
    for path in FIGURES:
        path.unlink(missing_ok=True)
    if findings.whole is None:
        return []
    drawn = [figures.separation(findings.whole, SEPARATION)]
    if any(test.kind == "fact" for test in findings.whole.tests):
        drawn.append(figures.facts(reference, new, findings.whole, FACTS))
    if findings.prevalence is not None and findings.prevalence.known:
        drawn.append(figures.shares(findings.prevalence, classes, SHARES))
    return drawn


def numbers(findings: Findings, new: New, export: Export) -> dict[str, Any]:
    """drift.json; null stands for what is not defined."""
    shares = findings.prevalence
    return {
        "verdict": findings.name,
        "alarm": findings.alarm,
        "model": export.recipe.key,
        "onnx_sha256": export.certificate.onnx_sha256,
        "new": {
            "patients": new.sample.count, "images": len(new.sample), "patients_known": new.patients_known,
            "left_out": {"known": new.known, "other_models": new.others, "unreadable": sum(new.unreadable.values())},
        },
        "whole": comparison(findings.whole),
        "same_prevalence": comparison(findings.alike),
        "prevalence": None if shares is None or not shares.known else {
            name: {
                "reference": finite(shares.reference[i]), "estimate": finite(shares.estimate[i]),
                "low": finite(shares.low[i]), "high": finite(shares.high[i]),
            }
            for i, name in enumerate(export.classes)
        },
    }  # fmt: skip


def comparison(own: Comparison | None) -> dict[str, Any] | None:
    if own is None:
        return None
    tests = {
        test.name: {
            name: value if isinstance(value, str) else finite(value)
            for name, value in vars(test).items()
            if name != "name"
        }
        for test in own.tests
    }
    sizes = {"patients": own.patients, "images": own.images}
    return {"tests": tests} | {name: dict(zip(("reference", "new"), pair, strict=True)) for name, pair in sizes.items()}


def metrics(findings: Findings) -> dict[str, float]:
    """For MLflow: of each test the effect and the adjusted p value."""
    tests = findings.whole.tests if findings.whole is not None else ()
    values = {f"{test.name}/{what}": getattr(test, what) for test in tests for what in ("effect", "adjusted")}
    return {"alarm": float(findings.alarm), **{name: v for name, v in values.items() if math.isfinite(v)}}


def page(findings: Findings, new: New, export: Export, params: Params, drawn: Sequence[Path]) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    tests = findings.whole.tests if findings.whole is not None else ()
    return template.render(
        title=sentences.title(findings),
        alarm=findings.alarm,
        paragraphs=sentences.paragraphs(findings, new, export.classes, params.patients),
        source=new.source,
        model=export.recipe.key,
        counts=findings.whole,
        rows=[sentences.row(test) | {"differs": test.adjusted <= params.alpha} for test in tests],
        alike=findings.alike
        and [sentences.row(t) | {"differs": t.adjusted <= params.alpha} for t in findings.alike.tests],
        figures={path.stem: uri(path.read_bytes()) for path in drawn},
        pictures=pictures(findings, new, export) if findings.alarm else [],
    )


def pictures(findings: Findings, new: New, export: Export) -> list[str]:
    """The images that the classifier is surest to be new, one of a patient."""
    if findings.whole is None or not new.files:
        return []
    shown, seen = list[File](), set[str]()
    for i in np.argsort(-findings.whole.unlikeness, kind="stable"):
        if new.sample.patients[i] not in seen and len(shown) < SHOWN:
            seen.add(new.sample.patients[i])
            shown.append(new.files[i])
    return [thumbnail(export.preprocessor.original(file.read(), "image")) for file in shown]


def thumbnail(image: np.ndarray) -> str:
    """uint8 h×w×C as a small PNG inside the page."""
    from PIL import Image

    small = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    small.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    small.save(buffer, format="PNG")
    return uri(buffer.getvalue())


def uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")
