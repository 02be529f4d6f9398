"""MLflow's own registry: versions with their export, aliases, and the commands on them."""

from __future__ import annotations

import json
from argparse import Namespace
from types import SimpleNamespace

import pytest

from stages.registry import command, log
from stages.registry.promote import promote, rollback
from stages.shared.core.errors import UserError
from stages.shared.core.job import Job
from stages.shared.core.paths import Key
from stages.shared.tracking import follow
from stages.shared.tracking.aliases import is_empty, open_registry
from stages.shared.tracking.recording import first_message
from tests.registry.test_promote import decision

pytestmark = pytest.mark.e2e
KEY = Key("small_cnn", "from_scratch", "full")


@pytest.fixture
def local(processed, monkeypatch):
    """The working directory of a study without a registry."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    return processed.parents[1]


def test_a_version_is_registered_found_aliased_and_fetched_with_its_export(local, train_params, monkeypatch):
    """One registry for all: a fresh one takes MLflow seconds."""
    from stages import train

    assert is_empty()
    model = train.run(train_params(epochs=1), Job(KEY)).model
    export = local / "models" / "onnx" / str(KEY)
    export.mkdir(parents=True)
    for name in ("model.onnx", "certificate.json", "recipe.json"):
        (export / name).write_text(f"the {name}")

    registry = open_registry("chest")
    assert registry.alias("champion") is None
    assert registry.same("digest1") is None
    version = registry.register(model, export, "digest1", first_message("register", KEY, {}, {}, "about", "title"))
    assert (version.number, version.key, version.digest) == ("1", str(KEY), "digest1")
    assert registry.same("digest1") == registry.version("1") == version

    promote(registry, decision("1"), lambda: version)
    assert registry.alias("champion") == version
    folder = registry.export(version)
    assert {file.name: file.read_text() for file in folder.iterdir()} == {
        f.name: f.read_text() for f in export.iterdir()
    }
    for absent in ("9", "latest"):
        with pytest.raises(UserError, match=f"'{absent}' is not known"):
            registry.version(absent)
    with monkeypatch.context() as patch:  # a search gives the first page alone
        patch.setattr(registry.client, "search_model_versions", lambda *_: [])
        assert registry.version("1") == version

    assert follow.look("models:/chest@champion") == {"version": "models:/chest/1", "path": str(folder)}
    assert set(follow.look("models:/chest@challenger")) == set(follow.look("models:/brain@champion")) == {"absent"}

    by_hand = registry.client.create_model_version(
        "chest", source=str(model), tags={"digest": "digest2", "key": str(KEY)}
    )
    second = registry.version(str(by_hand.version))
    with pytest.raises(UserError, match="has 0 exports"):
        registry.export(second)
    away = registry.client.create_model_version("chest", source="s3://films/model").version
    with pytest.raises(UserError, match=r"Artifacts: s3://films/model\. .*(pip install boto3|AWS_ACCESS_KEY_ID)"):
        registry.export(registry.version(str(away)))  # boto3 is not there, or the bucket is not
    promote(registry, decision("2", champion="1"), lambda: second)
    assert [registry.alias(alias).number for alias in ("champion", "previous")] == ["2", "1"]
    assert "has 0 exports" in follow.look("models:/chest@champion")["error"]

    # the commands, on the same registry
    (local / "params.yaml").write_text(json.dumps({"registry": {"name": "chest"}}))
    assert command.run_rollback(Namespace(to=None, why="too slow")) == 0
    assert registry.alias("champion").number == "1"
    assert "too slow" in registry.version("2").tags["rolled_back"]
    assert rollback(registry) == (registry.version("1"), False)

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert command.run_rollback(Namespace(to="2", why="")) == 1  # noted: the server is away
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    command.run_log(SimpleNamespace())  # makes it
    assert registry.alias("champion").number == "2"
    assert log.unfinished(log.read("chest")) == []


def test_where_there_is_no_registry_rollback_says_so_and_makes_none(local):
    (local / "params.yaml").write_text("registry: {name: chest}")
    with pytest.raises(UserError, match="There is no registry here"):
        command.run_rollback(Namespace(to=None, why=""))
    assert is_empty()
