"""What the report found of a model's heat maps goes with its export, to whoever shows one."""

from __future__ import annotations

import json

import pytest
from starlette.testclient import TestClient

from stages.serve.http.app import make_app
from stages.serve.http.metrics import Metrics
from stages.serve.http.models import Models
from stages.serve.params import Http
from stages.serve.service import Service
from stages.shared.core.errors import UserError
from stages.shared.exported.heat_maps import Checks, checks_of

from . import planted_export
from .planted_export import films, png


def method(deletion="better", insertion="better", edges="better", shuffled="passes"):
    """An entry of methods.json."""
    curves = {"deletion": deletion, "insertion": insertion}
    return {
        **{name: {"against_random": {"verdict": own}, "against_edges": {"verdict": edges}} for name, own in curves.items()},
        "randomisation": {"verdict": shuffled},
    }  # fmt: skip


def write_methods(folder, methods, weights="right"):
    (folder / "reports/explain/key").mkdir(parents=True, exist_ok=True)
    (folder / "reports/explain/key/methods.json").write_text(
        json.dumps({"weights_sha256": weights, "methods": methods})
    )


@pytest.mark.parametrize(
    ("found", "verdict", "words"),
    [
        (method(), "follows the model", "more to it than random ones and than edges"),
        (method(edges="not shown to differ"), "follows it in part", "not all checks were passed"),
        (method("not shown to differ", "worse"), "explains nothing", "not shown to matter more to it than random ones"),
        (method(shuffled="fails"), "explains nothing", "With shuffled weights they stay much the same"),
        ({"place": {}}, "not tested", "was not tested"),  # explain.checks: false
    ],
)
def test_the_verdict_is_that_of_the_report(workspace, found, verdict, words):
    write_methods(workspace, {"grad_cam": found, "occlusion": method("worse", "worse")})
    checks = checks_of("key", "right")
    assert checks.verdict == verdict
    assert words in checks.sentence
    assert checks.misleading == (verdict == "explains nothing")


def test_a_model_whose_maps_nobody_tested_says_so(workspace):
    assert checks_of("key", "right").verdict == "not tested"  # explain has not run
    write_methods(workspace, {"occlusion": method()})
    assert checks_of("key", "right").verdict == "not tested"  # it tested maps of another kind
    write_methods(workspace, {"grad_cam": method()}, "of a model before")
    assert checks_of("key", "right").verdict == "not tested"
    (workspace / "reports/explain/key/methods.json").write_text("{")
    with pytest.raises(UserError, match=r"methods\.json: damaged.*explain@key"):
        checks_of("key", "right")


def test_a_heat_map_of_the_server_carries_the_verdict(tmp_path):
    checks = Checks(verdict="explains nothing", sentence="Do not rely on this map.")
    models = Models(Metrics(), Service.open)
    models.serve(planted_export.write(tmp_path / "one", checks=checks))
    with TestClient(make_app(models, Metrics(), Http(log=False), None, None)) as client:
        answer = client.post("/predict?heatmap=true", files={"image": png(films(1)[0])}).json()
    assert answer["heatmap"]["checks"] == checks.model_dump()
