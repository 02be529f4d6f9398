"""The extra: an export for OpenVINO passes the same certificate, and one in 8-bit integers a test of sensitivity."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from stages.serve.export import make
from stages.serve.params import Params
from stages.shared.exported.export import Export

openvino = pytest.importorskip("openvino")
pytest.importorskip("nncf")


def test_both_are_certified_and_read_by_the_same_class(exported_study, export_key, tmp_path, monkeypatch):
    study = shutil.copytree(exported_study, tmp_path / "study")
    monkeypatch.chdir(study)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    network = exported_study / "models/onnx" / export_key / "model.onnx"
    monkeypatch.setattr(make, "write_network", lambda source, path: shutil.copy(network, path))  # torch takes its time
    # the few positive test patients can show no less
    lenient = Params(export={"int8_margin": 0.995, "int8_images": 20, "certified": 10, "reference": 20})
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
    assert set(export.certificate.presets) == {"all operations", "convolutions alone"}
    assert export.certificate.largest_difference < 0.06
    lost = export.certificate.sensitivity
    assert lost.positives == (index["label"][index["split"] == "test"] == "sick").sum()
    assert not export.certificate.model_copy(update={"sensitivity": lost.model_copy(update={"margin": 0.05})}).passed


def test_gates_and_heads_are_told_from_the_convolutions_that_do_the_work(exported_study, export_key):
    """Of small_cnn: each of four blocks has five convolutions of its attention (two for the means, two for the maxima,
    one over places) beside its own."""
    from stages.serve.export.openvino import WEIGHTED, gates, heads

    model = openvino.convert_model(exported_study / "models/onnx" / export_key / "model.onnx")
    weighted = [own for own in model.get_ops() if own.get_type_name() in WEIGHTED]
    assert len(gates(model)) == 4 * 5
    assert len(heads(model)) == 2  # of the logits, and of the maps
    assert len(weighted) - len({*gates(model), *heads(model)}) == 1 + 4  # the stem and one of each block


def test_an_int8_model_that_does_not_pass_is_refused_with_the_differences(exported_study, export_key):
    certificate = Export.read(exported_study / "models/onnx" / export_key).certificate
    tried = {"convolutions alone": 0.21, "all operations": 0.34}
    far = certificate.model_copy(update={"largest_difference": 0.27, "tolerance": 0.1, "presets": tried})
    assert not far.passed
    assert "differs by 0.27" in far.reason()
    assert "all operations 0.34, convolutions alone 0.21" in far.reason()


def test_the_preset_that_loses_least_is_written(exported_study, export_key, tmp_path, monkeypatch):
    """The first preset is planted to lose more."""
    from stages.serve.export import openvino as own

    folder = shutil.copytree(exported_study / "models/onnx" / export_key, tmp_path / "one")
    made, losses = [], iter([0.3, 0.1])

    def quantised(model, images, transformer, preset):
        made.append(preset)
        model.set_friendly_name(preset.replace(" ", "_"))
        return model

    monkeypatch.setattr(own, "quantised", quantised)
    differences = own.write_int8(folder, np.zeros((1, 32, 32, 1), np.uint8), False, lambda session: next(losses))
    assert differences == {made[0]: 0.3, made[1]: 0.1}
    assert f'name="{made[1].replace(" ", "_")}"' in (folder / "model.xml").read_text()[:200]
