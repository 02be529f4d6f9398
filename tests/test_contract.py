"""The house's rules: what a stage exposes, what dvc.yaml says of it, who imports whom."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import typing
from functools import cache
from pathlib import Path

import grimp
import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from stages import study
from stages.shared.core.matrix import BESIDE

STAGES = list(study.STAGES)
PLAIN = ("stages", "stages.shared")  # packages that hold a docstring and nothing else


@cache
def pipeline(repository):
    return YAML(typ="safe").load((repository / "dvc.yaml").read_text())["stages"]


@cache
def graph():
    return grimp.build_graph("stages", cache_dir=None)


def file_of(module, repository):
    path = repository / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imported(stage):
    """The stage's modules and all that they import, near and far."""
    own = {m for m in graph().modules if m == f"stages.{stage}" or m.startswith(f"stages.{stage}.")}
    return own | {far for module in own for far in graph().find_upstream_modules(module)}


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_watches_the_packages_that_a_stage_imports_and_no_other(stage, repository):
    watched = {dep for dep in pipeline(repository)[stage]["deps"] if dep.startswith("stages/")}
    needed = {package_of(module) for module in imported(stage) if module not in PLAIN}
    assert watched == needed
    assert all((repository / package).is_dir() for package in watched)


def package_of(module):
    """stages.shared.core.files -> stages/shared/core; stages.train.loop.module -> stages/train."""
    parts = module.split(".")
    return "/".join(parts[: 3 if parts[1] == "shared" else 2])


def test_a_task_has_one_name_where_it_trains_is_judged_and_is_asked_for():
    from stages.shared.core.task import TaskName
    from stages.shared.measures import MEASURES
    from stages.shared.tasks import TASKS

    assert list(TASKS) == list(MEASURES) == list(typing.get_args(TaskName))
    for name, task in TASKS.items():
        assert set(MEASURES[name].watched) == set(task.watch(2).keys())


def test_a_logged_model_requires_what_its_code_imports(repository):
    """A served model runs in an environment of its own."""
    from stages.shared.tasks import TASKS
    from stages.shared.tracking.package import REQUIREMENTS

    distributions = {"PIL": "pillow", "cv2": "opencv-python-headless", "ruamel": "ruamel.yaml"}
    distributions |= {name.replace("-", "_"): name for task in TASKS.values() for name in task.REQUIREMENTS}
    served = {f"stages.shared.{room}" for room in ("core", "images", "arrays", "model", "tasks")}
    external = grimp.build_graph("stages", include_external_packages=True, cache_dir=None)
    modules = [m for m in external.modules if ".".join(m.split(".")[:3]) in served]
    imported = {far.partition(".")[0] for m in modules for far in external.find_modules_directly_imported_by(m)}
    packages = {distributions.get(name, name) for name in imported - {"stages"} - set(sys.stdlib_module_names)}
    of_tasks = {name for task in TASKS.values() for name in task.REQUIREMENTS}
    assert packages - of_tasks - {"timm"} <= set(REQUIREMENTS)  # timm only where the backbone is timm's


def test_dvc_watches_few_code_paths(repository):
    """A no-op `dvc repro` takes as long as there is code to look at."""
    deps = [d for stage in STAGES for d in pipeline(repository)[stage]["deps"] if d.startswith("stages/")]
    assert len(deps) <= 50


@pytest.mark.parametrize("module", PLAIN)
def test_packages_that_dvc_does_not_watch_hold_no_code(module, repository):
    (only,) = ast.parse(file_of(module, repository).read_text()).body
    assert isinstance(only, ast.Expr)


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_watches_exactly_the_params_that_a_stage_reads(stage, repository):
    declared = sorted(p.replace("${item.", "{") for p in pipeline(repository)[stage]["params"])
    assert declared == study.dvc_params(stage)


@pytest.mark.parametrize("stage", study.PER_MEMBER)
def test_a_stage_of_models_beside_the_matrix_differs_in_its_matrix_alone(stage, repository):
    stages = pipeline(repository)
    twin, beside = dict(stages[stage]), dict(stages[f"{stage}{BESIDE}"])
    expected = {axis: name.replace("matrix.", "matrix.beside.") for axis, name in twin.pop("matrix").items()}
    assert beside.pop("matrix") == expected
    assert beside == twin


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_exposes_params_run_and_perhaps_a_check(stage):
    module = study.STAGES[stage]
    extra = {
        "compare": {"show"},  # the leaderboard, once more
        "download": {"listing"},  # what checking asks of files that are not packed yet
        "train": {
            "curve",
            "starting_weights",
        },  # a training for its validation scores alone, and its starting weights: tune
        "validate": {"check_names", "looks_like_mask"},
    }.get(stage, set())
    assert {"Params", "run"} <= set(module.__all__) <= {"Params", "check", "check_data", "run"} | extra
    assert list(inspect.signature(module.run).parameters) == ["params", "job"]
    if "check" in module.__all__:
        assert list(inspect.signature(module.check).parameters) == ["params"]
    assert module.Params.model_config["frozen"]
    assert module.Params.model_config["extra"] == "forbid"


def fields(model):
    for name, field in model.model_fields.items():
        yield f"{model.__name__}.{name}", field
        inner = [field.annotation, *getattr(field.annotation, "__args__", ())]
        for kind in inner:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from fields(kind)


@pytest.mark.parametrize("stage", STAGES)
def test_every_field_of_params_is_documented(stage):
    outer = {f"Params.{name}" for name in study.OUTER}
    bare = [name for name, field in fields(study.STAGES[stage].Params) if not field.description and name not in outer]
    assert bare == []


@pytest.mark.parametrize("stage", STAGES)
def test_the_stage_the_module_and_the_section_are_one_word(stage, repository):
    assert study.STAGES[stage].__name__ == f"stages.{stage}"
    assert pipeline(repository)[stage]["cmd"].startswith(f"python -m stages {stage}")
    assert [name for name in pipeline(repository) if not name.endswith(BESIDE)] == STAGES


def test_the_import_rule_holds(repository):
    tool = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([tool], cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_checking_params_imports_nothing_heavy(repository):
    """Every stage pays for this import before it starts."""
    code = "import sys, stages.commands; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    heavy = {
        "torch",
        "lightning",
        "mlflow",
        "pandas",
        "numpy",
        "matplotlib",
        "sklearn",
        "great_expectations",
        "cv2",
        "kagglehub",
    }
    assert heavy.isdisjoint(done.stdout.split())


def test_few_modules_know_the_settings_of_a_training():
    """The others are given plain values, so a new setting is nobody else's business."""
    params = {m for m in graph().modules if m == "stages.train.params" or m.startswith("stages.train.params.")}
    users = {user for module in params for user in graph().find_modules_that_directly_import(module)} - params
    assert len(users) <= 16
