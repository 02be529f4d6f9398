"""The extra: an export for OpenVINO passes the same certificate, and one in 8-bit integers a test of sensitivity."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stages.serve.export import make
from stages.serve.params import Params
from stages.shared.core.errors import UserError
from stages.shared.exported.export import Export

openvino = pytest.importorskip("openvino")
pytest.importorskip("nncf")


@pytest.fixture
def study(make_study, monkeypatch):
    folder = make_study()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return folder


def test_both_are_certified_and_read_by_the_same_class(study, export_key):
    lenient = Params(export={"int8_margin": 0.9})  # eight positive test images can show no less
    index = pd.read_parquet(study / "data/processed/index.parquet")
    images = np.load(study / "data/processed/images.npy")[np.flatnonzero(index["split"] == "test")]
    answers = {}
    for precision in ("float32", "int8"):
        export = Export.read(make.export(export_key, lenient, "auroc", "openvino", precision))
        assert (export.certificate.runtime, export.certificate.precision) == ("openvino", precision)
        assert {"model.onnx", "model.xml", "model.bin"} <= set(export.certificate.files)
        assert not any(trace in (export.folder / "model.xml").read_text() for trace in (str(study), ".partial"))
        answers[precision] = export.predict(images)
    assert np.abs(answers["float32"].probabilities - answers["int8"].probabilities).max() > 1e-6  # other arithmetic
    assert export.certificate.tolerance == 0.1
    assert export.certificate.sensitivity.positives == (index["label"][index["split"] == "test"] == "sick").sum()


def test_an_int8_model_that_may_lose_too_much_is_refused(study, export_key):
    with pytest.raises(UserError, match=r"it may lose .* of sensitivity .*and the margin is 5\.0%"):
        make.export(export_key, Params(), "auroc", "openvino", "int8")
    assert not (study / "models/onnx" / export_key).exists()
