"""Expectations of the user: checked before any work, reported, and critical ones set images aside."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from stages.shared.core.errors import UserError
from stages.shared.core.job import Job
from stages.shared.core.paths import MANIFEST, VALIDATION
from stages.shared.core.settings import parse
from stages.validate import Params, check, run

BASE = {
    "classes": {"normal": "images/NORMAL/*", "pneumonia": "images/PNEUMONIA/*"}, "patient": r"patient\d+",
    "ignore": ["masks/**"], "limits": {"min_images_per_class": 4}, "on_failure": "quarantine",
    "shortcuts": {"enabled": False},
}  # fmt: skip


@pytest.fixture
def expect(workplace: Path):
    """Write the file; returns the params that name it."""

    def write(text: str) -> Params:
        (workplace / "mine.yaml").write_text(text)
        return parse(Params, {**BASE, "expectations": "mine.yaml"}, "validate")

    return write


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- {type: expect_column_values_to_be_betwen, column: width}", r"line 1: type.*betwen.*Did you mean 'expect_column_values_to_be_between'"),
        ("- {type: expect_column_values_to_be_between, column: witdh}", r"line 1: column.*witdh.*Did you mean 'width'"),
        ("- {type: expect_column_values_to_be_between, column: width, severity: bad}", r"line 1: severity.*bad.*critical"),
        ("# mine\n- {type: expect_column_values_to_not_be_null, column: width}\n\n- {type: expect_column_values_to_be_between, column: width, minimum: 3}", r"line 4: .*minimum"),
        ("- {column: width}", r"line 1: .* has no type or no column"),
        ("type: expect_column_values_to_be_between", r"expected a list"),
        ("- {column: width}\n- [", r"line 2: not readable as YAML: "),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_file_is_said_before_any_work(expect, text, message):
    params = expect(text)
    with pytest.raises(UserError, match=rf"^mine\.yaml: {message}") as error:
        check(params)
    assert "unicode string" not in str(error.value)


def test_a_file_that_is_not_there_is_named(workplace):
    with pytest.raises(UserError, match=r"expectations: nowhere.yaml: no such file"):
        check(parse(Params, {**BASE, "expectations": "nowhere.yaml"}, "validate"))


def test_an_empty_file_expects_nothing(expect):
    check(expect("# nothing yet\n"))


def test_a_critical_one_sets_images_aside_with_the_reason_and_a_warning_reports(expect, pack, films, make_bytes):
    import numpy as np

    dark = "images/NORMAL/patient0001_normal_1.png"
    pack({**films, dark: make_bytes((np.random.default_rng(0).random((72, 64)) * 30).astype(np.uint8))})
    params = expect(
        "- {type: expect_column_values_to_be_between, column: brightness, min_value: 40, severity: critical,\n"
        "   description: No film is nearly black.}\n"
        "- {type: expect_column_values_to_be_in_set, column: label, value_set: [normal]}\n"
    )
    run(params, Job())
    manifest = pd.read_parquet(MANIFEST).set_index("path")
    assert manifest.index[manifest["quarantined"]].tolist() == [dark]
    assert manifest["reason"][dark].startswith("No film is nearly black. Here brightness is ")
    checks = {c["name"]: c for c in json.loads(VALIDATION.read_text())["checks"]}
    assert checks["expectation_1/brightness"]["failed"] == 1
    second = checks["expectation_2/label"]
    assert (second["severity"], second["failed"]) == ("warning", 12)
    assert second["description"] == "label: values to be in set (value_set ['normal'])."
    assert "No film is nearly black." in (VALIDATION.parent / "data_docs/index.html").read_text()
