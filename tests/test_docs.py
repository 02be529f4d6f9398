"""The documentation is whole, and the reference is what the code says."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages import params_table, study
from stages.commands import make_parser


def test_the_site_builds_without_a_warning_and_every_page_is_in_the_menu(repository, tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(
        command, cwd=repository, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "params" / "index.html").is_file()


def test_the_reference_of_settings_is_up_to_date(repository):
    assert (repository / params_table.PATH).read_text() == params_table.page(), "run: python -m stages params"


def test_the_reference_has_every_setting_of_the_shipped_file(repository):
    """Of params.yaml itself, without the models behind it: no key is missing that a user finds there."""
    raw = YAML(typ="safe").load((repository / "params.yaml").read_text())
    page = params_table.page()
    parts = {part.partition("\n")[0]: part for part in page.split("\n## ")}
    for name in (*study.STAGES, *study.TOOLS):
        for key, value in raw[name].items():
            assert f"| `{key}`" in parts[name], f"{name}.{key}"
            if isinstance(value, dict) and "settings below" in line_of(parts[name], key):
                assert all(f"| `{key}.{inner}`" in parts[name] for inner in value if inner not in ("name", "plan"))


def commands_in(text):
    """Lines that begin with a command, of the blocks of a page; comments, and what follows && or a pipe, are left out."""
    for block in re.findall(r"^```(?:sh|console)?\n(.*?)^```", text, flags=re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            yield re.split(r"\s#|&&|\|", line)[0].strip()


def pages(repository):
    return [
        *(repository / name for name in ("README.md", "CONTRIBUTING.md")),
        *sorted((repository / "docs").glob("*.md")),
    ]


def test_every_command_that_a_page_shows_is_one(repository):
    parser, shown = make_parser(), 0
    for page in pages(repository):
        text = page.read_text()
        lines = [*commands_in(text), *re.findall(r"`(python -m stages [^`…]+)`", text)]
        for line in lines:
            if (
                line.startswith("python -m stages")
                and "--help" not in line
                and "<preset>" not in line
                and "|" not in line
            ):
                try:
                    arguments = parser.parse_args(shlex.split(re.split(r"&&|, ", line)[0])[3:])
                except SystemExit:
                    pytest.fail(f"{page.name}: {line}")
                preset = getattr(arguments, "preset", None)
                assert preset is None or (repository / "presets" / f"{preset}.yaml").is_file(), line
                shown += 1
    assert shown > 30


def test_every_setting_that_a_page_changes_is_there(repository):
    """-S key=value of `dvc exp run`; +key adds one."""
    raw = YAML(typ="safe").load((repository / "params.yaml").read_text())
    shown = {key for page in pages(repository) for key in re.findall(r"-S '?([a-z_.]+)=", page.read_text())}
    assert len(shown) >= 8
    for key in shown:
        section = raw
        for part in key.split(".")[:-1]:
            section = section[part]
        assert key.split(".")[-1] in section or key in OPTIONAL, key


OPTIONAL = {"matrix.beside"}


def test_every_file_that_the_readme_and_the_map_name_is_there(repository):
    """Links of the README, and the tree of CONTRIBUTING, which names every preset."""
    links = re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", (repository / "README.md").read_text())
    assert len(links) > 25
    assert all((repository / link).exists() for link in links)
    tree = (repository / "CONTRIBUTING.md").read_text().partition("## What is where")[2]
    assert all(path.name in tree for path in (repository / "presets").glob("*.yaml"))
    scripts = [path.stem for path in (repository / "benchmarks").glob("*.py") if "__main__" in path.read_text()]
    table = (repository / "benchmarks" / "README.md").read_text()
    assert all(f"{name}.py" in table or f"benchmarks.{name}" in table for name in scripts)


def line_of(part, key):
    return next(line for line in part.splitlines() if line.startswith(f"| `{key}`"))


@pytest.mark.parametrize("path", [".devcontainer/devcontainer.json"])
def test_the_development_container_makes_what_the_readme_makes(repository, path):
    container = json.loads((repository / path).read_text())
    target = container["postCreateCommand"].split()[1]
    assert f"\n{target}:" in (repository / "Makefile").read_text()


def test_the_citation_has_what_its_format_requires(repository):
    citation = YAML(typ="safe").load((repository / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0"
    assert all({"name"} <= author.keys() or {"family-names"} <= author.keys() for author in citation["authors"])
    project = (Path(repository) / "pyproject.toml").read_text()
    assert f'version = "{citation["version"]}"' in project
    assert f'license = "{citation["license"]}"' in project
