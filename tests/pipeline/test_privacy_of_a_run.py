"""A whole study of a hospital's films, under pseudonyms: no file and no line of output says who a patient is."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ..hospital import NAMES, SETTINGS, hand_out, refuse_secrets
from .conftest import served

pytestmark = pytest.mark.e2e
OWN = (".lightbox", ".git", "stages", "tests", "docs", "presets", "benchmarks")  # private, or not made by the run


def contents(path: Path) -> list[bytes]:
    """The bytes of a file as they are, and as they are read where it is packed."""
    data = path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return [data, *(member.filename.encode() + archive.read(member) for member in archive.infolist())]
    return [data, pd.read_parquet(io.BytesIO(data)).to_csv().encode()] if data[:4] == b"PAR1" else [data]


def test_no_file_and_no_output_of_a_study_says_who_a_patient_is(make_clone: Any, tmp_path: Path) -> None:
    hospital = hand_out(tmp_path / "hospital", patients=24)
    pseudonyms = {"names": NAMES, "columns": ["Befund", "Alter"]}
    clone = make_clone(
        download={"source": "folder", "privacy": "pseudonymise", "pseudonyms": pseudonyms, "folder": {"path": str(hospital)}},
        validate={**SETTINGS, "patient": None, "mask": None},
        preprocess={"size": 32, "steps": []}, matrix={"strategy": ["from_scratch"], "sample": ["full"]},
        train={"epochs": 1, "batch_size": 16, "augment": []},
    )  # fmt: skip
    with served(clone):
        output = clone.dvc("repro")
        table = pd.read_parquet(next(clone.folder.glob("reports/evaluate/*/predictions.parquet")))
        assert set(table.filter(like="meta_")) == {"meta_age", "meta_sex", "meta_view", "meta_manufacturer"}
        files = [path for path in clone.folder.rglob("*") if path.is_file()]
        made = {path: path.relative_to(clone.folder) for path in files}
        made = {path: name for path, name in made.items() if name.parts[0] not in OWN}
        assert {"mlflow.db", "mlartifacts", "data", "reports", "models", ".dvc"} <= {n.parts[0] for n in made.values()}
        for path, name in made.items():
            for content in [str(name).encode(), *contents(path)]:
                refuse_secrets(content, name)
        clone.edit({"validate": {"limits": {"min_images_per_class": 999}}})
        output += clone.dvc("repro", check=False)
        (hospital / "MUELLER.csv").write_bytes(b"a,b\nHannelore\n")
        output += clone.dvc("repro", check=False)
    assert "critical checks failed" in output
    assert "The reason may name a patient" in output
    refuse_secrets(output, "output")
