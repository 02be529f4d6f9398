"""The documentation is whole, and the reference is what the code says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages import params_table, study


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
