"""Is an export still that of the model and the evaluation that lie here?"""

from __future__ import annotations

from pathlib import Path

from ..core.errors import UserError
from ..core.files import sha256
from ..core.paths import report_dir
from ..model.recipe import Recipe
from . import certificate
from .decision import Rules
from .export import ROOT
from .heat_maps import checks_of
from .reading import Reading


def options(key: str) -> list[str]:
    """Of the command `export`, that make models/onnx/<key> anew in the format that it has."""
    try:
        own = certificate.read(ROOT / key, "")
    except UserError:  # there is none: the default
        return []
    return {"onnx": [], "openvino": ["--format", "openvino"]}[own.runtime] + ["--int8"] * (own.precision == "int8")


def is_current(key: str, reading: Reading) -> bool:
    """Whether models/onnx/<key> can be read, and is of the weights, the evaluation, the checks of heat maps and the
    sentences of now. Another operating point changes no weights, and yet every decision.

    Raises:
        UserError: models/<key> has no recipe.
    """
    weights = Recipe.read(Path("models") / key).weights_sha256
    metrics = report_dir("evaluate") / key / "metrics.json"
    try:
        own, rules = certificate.read(ROOT / key, ""), Rules.read(ROOT / key, "")
    except UserError:  # missing, changed, or of another version
        return False
    evaluation = sha256(metrics) if metrics.is_file() else None
    certified = (own.weights_sha256, own.evaluation_sha256, rules.reading, rules.heat_maps)
    return certified == (weights, evaluation, reading, checks_of(key, weights))
