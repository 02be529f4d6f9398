"""The extra: an export for OpenVINO passes the same certificate, and one in 8-bit integers a test of sensitivity."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stages.serve.export import make
from stages.serve.params import Params
from stages.shared.exported.export import Export

openvino = pytest.importorskip("openvino")
pytest.importorskip("nncf")


def test_both_are_certified_and_read_by_the_same_class(make_study, export_key, monkeypatch):
    study = make_study(patients=160)
    monkeypatch.chdir(study)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    lenient = Params(export={"int8_margin": 0.6})  # the few positive test patients can show no less
    index = pd.read_parquet(study / "data/processed/index.parquet")
    images = np.load(study / "data/processed/images.npy")[np.flatnonzero(index["split"] == "test")]
    answers = {}
    for precision in ("float32", "int8"):
        export = Export.read(make.export(export_key, lenient, "auroc", "openvino", precision))
        assert (export.certificate.runtime, export.certificate.precision) == ("openvino", precision)
        assert {"model.onnx", "model.xml", "model.bin"} <= set(export.certificate.files)
        assert not any(trace in (export.folder / "model.xml").read_text() for trace in (str(study), ".partial"))
        answers[precision] = export.predict(images)
    assert np.abs(answers["float32"].scores - answers["int8"].scores).max() > 1e-6  # other arithmetic
    assert export.certificate.largest_difference > 1e-6  # though calibration rounds to 0 and 1
    assert export.certificate.tolerance == 0.1
    lost = export.certificate.sensitivity
    assert lost.positives == (index["label"][index["split"] == "test"] == "sick").sum()
    assert not export.certificate.model_copy(update={"sensitivity": lost.model_copy(update={"margin": 0.05})}).passed
