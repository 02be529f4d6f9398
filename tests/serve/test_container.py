"""Dockerfile, compose.yaml and .dockerignore: what a linter for them asks, and that they name what there is."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest
from ruamel.yaml import YAML

from stages import commands

HEAVY = ("torch", "torchvision", "lightning", "mlflow", "great-expectations", "dvc", "ray")


@pytest.fixture
def lines(repository):
    """(instruction, arguments) of the Dockerfile."""
    text = re.sub(r"^\s*#.*\n", "", (repository / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


@pytest.fixture
def services(repository):
    return YAML(typ="safe").load((repository / "compose.yaml").read_text())["services"]


def arguments(lines, instruction):
    return [rest for name, rest in lines if name == instruction]


def stages_of(lines):
    """The Dockerfile cut at its FROMs, each without the FROM."""
    starts = [i for i, (name, _) in enumerate(lines) if name == "FROM"] + [len(lines)]
    return [lines[a + 1 : b] for a, b in pairwise(starts)]


def test_the_base_is_pinned_and_nobody_is_root(lines):
    bases = [rest.split()[0] for rest in arguments(lines, "FROM")]
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", bases[0])
    assert bases[1:] == ["server"]
    for stage in stages_of(lines):
        assert arguments(stage, "USER")[-1].isdigit()  # a number: orchestrators can see that it is not root
        assert arguments(stage, "USER")[-1] != "0"
        assert len(arguments(stage, "HEALTHCHECK")) == 1
        assert not arguments(stage, "ADD")


def test_only_pinned_packages_are_installed_and_none_is_heavy(lines, repository):
    files = [re.search(r"--requirement (\S+)", rest) for rest in arguments(lines, "RUN") if "pip install" in rest]
    assert [match.group(1) for match in files] == ["requirements-serve.txt", "requirements-app.txt"]
    for match in files:
        text = (repository / match.group(1)).read_text()
        names = re.findall(r"^([a-z0-9-]+)==[\w.]+", text, flags=re.MULTILINE)
        assert len(names) == len(re.findall(r"^[^\s#]", text, flags=re.MULTILINE))  # every one has a version
        assert not set(names) & set(HEAVY)
    assert all("--no-cache-dir" in rest and "--no-deps" in rest for rest in arguments(lines, "RUN") if "pip" in rest)


def test_what_is_copied_exists_and_is_let_through(lines, repository):
    allowed = {line[1:] for line in (repository / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {rest.split()[0] for rest in arguments(lines, "COPY")}
    assert copied == allowed
    assert all((repository / name).exists() for name in copied)
    assert "*" in (repository / ".dockerignore").read_text().splitlines()  # no data, no models


@pytest.mark.parametrize("service", ["server", "app"])
def test_every_command_is_one_of_ours(lines, services, service):
    assert json.loads(arguments(lines, "ENTRYPOINT")[0]) == ["python", "-m", "stages"]
    ours = [json.loads(rest) for rest in arguments(lines, "CMD")]
    for command in (services[service].get("command"), ours[service == "app"]):
        if command:
            assert commands.make_parser().parse_args(command).host == "0.0.0.0"


def test_services_are_locked_in_and_reached_from_this_machine_alone(services):
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert "privileged" not in service
    for name in ("server", "app"):
        assert services[name]["read_only"]
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"\S+:v\d+\.\d+\.\d+", services["mlflow"]["image"])
    assert "?" in services["server"]["environment"]["LIGHTBOX_API_KEY"]  # does not start without


def test_mlflow_is_the_version_that_was_tested(services, repository):
    version = services["mlflow"]["image"].partition(":v")[2]
    for name in ("requirements.txt", "requirements-serve.txt"):
        assert re.search(
            rf"^mlflow(-skinny)?=={re.escape(version)}$", (repository / name).read_text(), flags=re.MULTILINE
        )
