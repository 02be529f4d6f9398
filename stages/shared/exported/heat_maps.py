"""Do the heat maps of a model show what it reads? What explain's checks found, for whoever shows such a map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.errors import UserError
from ..core.files import read_json
from ..core.matrix import repro
from ..core.paths import report_dir
from ..core.settings import Settings
from ..measures import faithfulness
from ..measures.faithfulness import FOLLOWS, NOTHING, PARTLY, UNTESTED, Verdict

METHOD = "grad_cam"
"""Of the methods of explain the one that is most like the map of an export: class activation of the last map."""
NOT_TESTED = "Whether heat maps of this model show what it reads was not tested (explain.checks)."
SENTENCES = {
    PARTLY: "The report found that heat maps of this model (Grad-CAM) follow it in part: on test images their "
    "brightest places matter more to it than random ones, but not all checks were passed.",
    FOLLOWS: "The report found that heat maps of this model (Grad-CAM) follow it: on test images their brightest "
    "places matter more to it than random ones and than edges. Whether they are a valid reason, no map says.",
}
EXPLAINS_NOTHING = "Do not rely on this map: the report found that heat maps of this model (Grad-CAM) explain nothing."


class Checks(Settings):
    """verdict: of the report, about Grad-CAM. sentence: what it means for a reader."""

    verdict: Verdict = UNTESTED
    sentence: str = NOT_TESTED

    @property
    def misleading(self) -> bool:
        """Whether a reader has to be warned."""
        return self.verdict == NOTHING


def checks_of(key: str, weights_sha256: str) -> Checks:
    """What reports/explain/<key> says; not tested where explain has not run, has not tested that method, or has tested
    other weights.

    Raises:
        UserError: methods.json is damaged.
    """
    path = report_dir("explain") / key / "methods.json"
    if not path.is_file():
        return Checks()
    try:
        examination = read_json(path)
        if examination.get("weights_sha256") != weights_sha256:
            return Checks()
        method: Mapping[str, Any] = examination["methods"].get(METHOD, {})
        verdict = faithfulness.verdict(method)
        sentence = nothing(method) if verdict == NOTHING else SENTENCES.get(verdict, NOT_TESTED)
    except (ValueError, KeyError) as error:
        raise UserError(f"{path}: damaged ({error}). Run {repro('explain', key, force=True)}.") from None
    return Checks(verdict=verdict, sentence=sentence)


def nothing(method: Mapping[str, Any]) -> str:
    """Why the maps explain nothing."""
    if "better" not in faithfulness.against(method, "random"):
        return (
            f"{EXPLAINS_NOTHING} On test images their brightest places are not shown to matter more to it than random "
            "ones."
        )
    return (
        f"{EXPLAINS_NOTHING} With shuffled weights they stay much the same: they show the image and not what the model "
        "reads."
    )
