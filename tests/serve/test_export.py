"""An exported model answers as the trained one does, and a folder that was tampered with is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import threading
from contextlib import chdir
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import torch

from stages.serve.export import certify, graph, make
from stages.serve.params import Params
from stages.shared.core.errors import UserError
from stages.shared.exported.current import is_current, options
from stages.shared.exported.export import Export
from stages.shared.exported.reading import Reading
from stages.shared.measures.calibration import fit
from stages.shared.measures.classification import Answers as Table
from stages.shared.model.recipe import Recipe
from stages.shared.tasks.models import load

from . import planted_export
from .test_heat_maps import method as planted_method

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def folder(exported_study, export_key):
    return exported_study / "models" / "onnx" / export_key


@pytest.fixture(scope="module")
def export(folder):
    return Export.read(folder)


@pytest.fixture(scope="module")
def films(exported_study):
    index = pd.read_parquet(exported_study / "data/processed/index.parquet")
    rows = np.flatnonzero(index["split"] == "test")
    return np.load(exported_study / "data/processed/images.npy")[rows], index["path"].iloc[rows].to_numpy()


@pytest.fixture(scope="module")
def judged(exported_study, export_key):
    return pd.read_parquet(exported_study / "reports/evaluate" / export_key / "predictions.parquet")


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "onnx" / folder.name)


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_its_probabilities_are_those_that_evaluate_judged(export, judged, films, batch):
    images, paths = films
    parts = [export.predict(images[i : i + batch]) for i in range(0, len(images), batch)]
    expected = Table(judged.set_index("path").loc[paths].reset_index())
    assert np.abs(np.concatenate([own.probabilities for own in parts]) - expected.calibrated).max() < 1e-4
    assert np.abs(np.concatenate([own.scores for own in parts]) - expected.probabilities).max() < 1e-4
    assert np.ptp(expected.calibrated[:, 1]) > 0.1  # else agreement shows nothing


def test_normalisation_is_inside(export, exported_study, export_key, films):
    """The network on images that are normalised by hand, as its recipe's architecture says."""
    model, _ = load(exported_study / "models" / export_key)
    images = films[0][:4]
    mean, std = 0.5, 0.25  # of small_cnn
    x = (np.repeat(images, 3, axis=3).transpose(0, 3, 1, 2) / 255 - mean) / std
    with torch.no_grad():
        features = model.backbone.network(torch.tensor(x, dtype=torch.float32))
        logits = model.head(features)
    own = export.predict(images)
    np.testing.assert_allclose(own.logits, logits.numpy(), atol=1e-4)
    np.testing.assert_allclose(own.features, features.numpy(), atol=1e-4)


def test_the_mean_of_a_class_activation_map_is_the_logit(export, films):
    own = export.predict(films[0])
    assert own.maps is not None
    assert own.maps.shape[1:] == (2, 2, 2)  # a sixteenth of 32 pixels
    np.testing.assert_allclose(own.maps.mean(axis=(2, 3)), own.logits, atol=1e-4)


def test_decisions_are_those_of_evaluate(export, judged, films):
    images, paths = films
    rows = judged.set_index("path").loc[paths].reset_index()
    decisions = export.decide(export.predict(images))
    assert [decision.predicted for decision in decisions] == rows["predicted"].tolist()
    assert [decision.above_threshold for decision in decisions] == (rows["predicted"] == "sick").tolist()
    for name in export.classes:
        assert [name in decision.prediction_set for decision in decisions] == rows[f"in_set_{name}"].tolist()
    np.testing.assert_allclose([decision.confidence for decision in decisions], Table(rows).confidence, atol=1e-4)
    limit = export.rules.abstention.limit
    assert [decision.abstain for decision in decisions] == (Table(rows).confidence < limit).tolist()


def test_the_server_answers_what_evaluate_wrote_down(folder, judged, films):
    """Films as PNG files, by REST."""
    from starlette.testclient import TestClient

    from stages.serve.http.app import make_app
    from stages.serve.http.metrics import Metrics
    from stages.serve.http.models import Models
    from stages.serve.params import Http
    from stages.serve.service import Service

    from .planted_export import png

    images, paths = films
    expected = judged.set_index("path").loc[paths]
    models = Models(Metrics(), Service.open)
    models.serve(folder)
    with TestClient(make_app(models, Metrics(), Http(), None, None)) as client:
        answers = [client.post("/predict", files={"image": png(image.squeeze())}).json() for image in images]
    for answer, (_, row) in zip(answers, expected.iterrows(), strict=True):
        assert answer["predicted"] == row["predicted"]
        calibrated = {name: row[f"calibrated_{name}"] for name in answer["probabilities"]}
        assert answer["probabilities"] == pytest.approx(calibrated, abs=1e-4)


def test_the_calibrated_threshold_calls_the_same_images(export, judged, films):
    own = export.predict(films[0])
    point = export.rules.points["sick"]
    assert ((own.scores[:, 1] > point.threshold) == (own.probabilities[:, 1] > point.calibrated)).all()
    curve, test = export.rules.curves["test"]["sick"], judged[judged["split"] == "test"]
    called = test["calibrated_sick"] > 0.3
    assert curve.sensitivity[30] == pytest.approx(called[test["label"] == "sick"].mean())
    assert curve.specificity[30] == pytest.approx(1 - called[test["label"] == "normal"].mean())


def test_the_reference_is_what_it_learned_from(export, exported_study, export_key):
    index = pd.read_parquet(exported_study / "data/processed/index.parquet")
    rows = np.load(exported_study / "reports/train" / export_key / "rows.npz")
    images = np.load(exported_study / "data/processed/images.npy")
    training = export.training
    assert set(training.patients) == set(index["patient"].iloc[np.r_[rows["train"], rows["validation"]]])
    assert set(training.patients).isdisjoint(index["patient"][index["split"] == "test"])
    assert sorted(training.rows) == sorted(rows["train"])
    assert (training.splits[training.described] == "train").all()
    model, _ = load(exported_study / "models" / export_key)
    with torch.no_grad():
        x = model.normalise(torch.tensor(images[training.rows[:3]]).permute(0, 3, 1, 2))
        np.testing.assert_allclose(training.features[:3], model.encode(x)[0].numpy(), atol=2e-3)
    assert len(training.facts["brightness"]) == len(training.features) == len(training.probabilities)


def test_it_is_one_file_that_names_no_place_of_this_machine(folder, repository):
    proto = onnx.load(folder / "model.onnx", load_external_data=False)
    assert not any(tensor.external_data for tensor in proto.graph.initializer)
    assert proto.opset_import[0].version == 20
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    content = (folder / "model.onnx").read_bytes()
    for trace in (str(repository), sys.prefix, "site-packages", ".py"):
        assert trace.encode() not in content


@pytest.mark.parametrize("name", ["model.onnx", "recipe.json", "decision.json", "training.npz", "held_out.npz"])
def test_a_file_that_was_changed_is_refused(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}: not the file that was certified.*stages export {copy.name}"):
        Export.read(copy)


def test_a_folder_without_a_certificate_that_passed_is_refused(copy):
    path = copy / "certificate.json"
    certificate = json.loads(path.read_text())
    path.write_text(json.dumps({**certificate, "largest_difference": 2e-4}))
    with pytest.raises(UserError, match=r"did not pass: a probability differs by 0\.0002"):
        Export.read(copy)
    path.unlink()
    with pytest.raises(UserError, match="certificate.json: missing, so nobody knows"):
        Export.read(copy)


@pytest.mark.parametrize("name", ["recipe.json", "decision.json", "model.onnx"])
def test_a_certificate_has_to_list_what_decides_an_answer(copy, name):
    """Else a threshold could be edited, and its line deleted."""
    path = copy / "certificate.json"
    certificate = json.loads(path.read_text())
    del certificate["files"][name]
    path.write_text(json.dumps(certificate))
    with pytest.raises(UserError, match=rf"certificate\.json: has no checksum of {name}.*stages export {copy.name}"):
        Export.read(copy)


def test_openvino_needs_its_own_files_in_the_certificate(copy):
    path = copy / "certificate.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "runtime": "openvino"}))
    with pytest.raises(UserError, match=r"has no checksum of model\.xml, model\.bin"):
        Export.read(copy)


@pytest.mark.parametrize(("name", "part"), [("training.npz", "training"), ("held_out.npz", "held_out")])
def test_images_that_are_read_late_are_checked_then(copy, name, part):
    export, content = Export.read(copy), bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}: not the file that was certified"):
        getattr(export, part)
    (copy / name).unlink()
    with pytest.raises(UserError, match=rf"{name}: missing"):
        getattr(export, part)


def test_images_that_the_certificate_does_not_list_are_refused(copy):
    path = copy / "certificate.json"
    certificate = json.loads(path.read_text())
    del certificate["files"]["training.npz"]
    path.write_text(json.dumps(certificate))
    export = Export.read(copy)
    with pytest.raises(UserError, match=r"has no checksum of training\.npz"):
        _ = export.training


def test_reading_and_answering_need_no_torch(folder, repository):
    code = (
        "import sys, numpy as np\n"
        "from stages.shared.exported.export import Export\n"
        f"export = Export.read({str(folder)!r})\n"
        "images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 1), dtype=np.uint8)\n"
        "export.decide(export.predict(images)), export.training\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert {"torch", "mlflow", "pandas", "sklearn", "lightning"}.isdisjoint(done.stdout.split())


def test_bytes_of_a_file_become_what_the_model_learned_from(export, films):
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(films[0][0, :, :, 0]).save(buffer, format="PNG")
    assert (export.preprocess(buffer.getvalue(), "upload") == films[0][0]).all()
    with pytest.raises(UserError, match="expected uint8 B×32×32×1, found uint8 1×16×16×1"):
        export.predict(np.zeros((1, 16, 16, 1), np.uint8))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("method", ["temperature", "platt", "isotonic", "none"])
def test_calibration_in_the_graph_is_that_of_evaluate(method, classes):
    truth = np.arange(120) % classes
    logits = RNG.normal(size=(120, classes)).astype(np.float32)
    logits[np.arange(120), truth] += 1
    calibration = fit(method, torch.tensor(logits).log_softmax(dim=1).numpy().astype(np.float64), truth)
    assert calibration.method == method
    fresh = RNG.normal(size=(500, classes)).astype(np.float32) * 3
    expected = calibration.apply(torch.tensor(fresh, dtype=torch.float64).log_softmax(dim=1).numpy())
    own = graph.CALIBRATED[method](calibration, classes)(torch.tensor(fresh)).numpy()
    assert np.abs(own - expected).max() < 1e-4


class Lying:
    """A session whose second image of a batch is wrong."""

    outputs = ["logits", "probabilities", "features"]
    size = (8, 8, 1)

    def __call__(self, images):
        own = {name: np.zeros((len(images), 2), np.float32) for name in self.outputs}
        own["probabilities"][1:2] = 0.25
        return own


def test_an_answer_that_depends_on_the_batch_is_found():
    images = np.zeros((4, 8, 8, 1), np.uint8)
    zero = np.zeros((4, 2), np.float32)
    reference = certify.Answers(zero, zero, zero)
    assert certify.differences(reference, Lying(), images, (1,))["probabilities"] == 0
    assert certify.differences(reference, Lying(), images, (1, 2))["probabilities"] == 0.25


def test_numbers_that_are_not_finite_are_no_agreement():
    class Broken(Lying):
        def __call__(self, images):
            return {name: np.full((len(images), 2), np.nan, np.float32) for name in self.outputs}

    zero = np.zeros((2, 2), np.float32)
    gaps = certify.differences(certify.Answers(zero, zero, zero), Broken(), np.zeros((2, 8, 8, 1), np.uint8), (1,))
    assert np.isnan(gaps["probabilities"])


def test_sensitivity_that_may_be_lost_depends_on_the_patients():
    before = np.ones(200, bool)
    few, many = (certify.lost(before[:n], before[:n], np.arange(n), 0.05) for n in (20, 200))
    assert few.loss == many.loss == 0
    assert few.high > 0.05 > many.high > 0  # Wilson's interval of 0 of 20, and of 0 of 200
    assert certify.lost(before, before & (np.arange(200) % 10 > 0), np.arange(200), 0.05).high > 0.1
    paired = certify.lost(before, before, np.repeat(np.arange(20), 10), 0.05)
    assert paired.high == pytest.approx(few.high, rel=0.05)  # ten images of a patient are no ten patients


@pytest.fixture
def study(exported_study, tmp_path, monkeypatch):
    """A copy that may be changed, without an export; the working directory."""
    shutil.copytree(exported_study, tmp_path / "study", ignore=shutil.ignore_patterns("onnx"))
    monkeypatch.chdir(tmp_path / "study")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path / "study"


def test_a_model_that_was_not_evaluated_is_refused_with_the_remedy(study, export_key):
    (study / "reports/evaluate" / export_key / "metrics.json").unlink()
    with pytest.raises(UserError, match=rf"metrics\.json: missing\. Run `dvc repro evaluate@{export_key}`"):
        make.export(export_key, Params(), "auroc")


def test_a_key_that_is_not_there_is_refused_with_those_that_are(study):
    with pytest.raises(UserError, match=r"'small_cnn-from_scratch-ful' is not known\. Did you mean 'small_cnn-from"):
        make.export("small_cnn-from_scratch-ful", Params(), "auroc")


def reweigh(study, key, change):
    """Other weights, and a recipe that knows them."""
    from stages.shared.model.store import save

    model, recipe = load(study / "models" / key)
    with torch.no_grad():
        change(model)
    save(model, recipe, study / "models" / key)


def test_an_evaluation_of_other_weights_is_refused(study, export_key):
    reweigh(study, export_key, lambda model: model.head[-1].weight.neg_())
    with pytest.raises(UserError, match=r"is about other weights than those in models/.*repro -f evaluate@"):
        make.export(export_key, Params(), "auroc")


def test_a_model_that_always_says_the_same_is_refused(study, export_key):
    from stages import evaluate
    from stages.shared.core.job import Job
    from stages.shared.core.paths import Key

    reweigh(study, export_key, lambda model: model.head[-1].weight.zero_())
    evaluate.run(evaluate.Params(bootstrap=100, cost={"seconds": 0.001}), Job(Key(*export_key.split("-"))))
    with pytest.raises(UserError, match="all .* test images get the same probabilities"):
        make.export(export_key, Params(), "auroc")
    assert not (study / "models/onnx").exists()


def test_a_network_that_torch_cannot_write_is_named():
    from stages.serve.export.convert import convert

    class Dynamic(torch.nn.Module):
        def forward(self, images):
            return images.float().mean() if images.sum().item() > 3 else images.float()

    with pytest.raises(UserError, match="dynamic_net: torch cannot write this network"):
        convert(Dynamic(), torch.zeros(2, 4, 4, 1, dtype=torch.uint8), ["logits"], "unused.onnx", "dynamic_net")


def test_an_export_of_another_operating_point_or_other_sentences_is_not_current(exported_study, export_key, tmp_path):
    """The weights are the same, the decisions are not."""
    shutil.copytree(exported_study, tmp_path / "study")
    with chdir(tmp_path / "study"):
        assert is_current(export_key, Params().reading)
        assert not is_current(export_key, Reading(below="Nothing found."))
        explained = tmp_path / "study" / "reports/explain" / export_key
        explained.mkdir(parents=True)
        examination = {"methods": {"grad_cam": planted_method("worse", "worse")}}
        (explained / "methods.json").write_text(json.dumps(examination))
        assert is_current(export_key, Params().reading)  # of other weights, or of an earlier version
        examination["weights_sha256"] = Recipe.read(Path("models") / export_key).weights_sha256
        (explained / "methods.json").write_text(json.dumps(examination))
        assert not is_current(export_key, Params().reading)  # the maps were found to explain nothing since
        shutil.rmtree(explained)
        assert is_current(export_key, Params().reading)
        metrics = tmp_path / "study" / "reports/evaluate" / export_key / "metrics.json"
        metrics.write_text(metrics.read_text().replace('"rule"', '"rule" '))
        assert not is_current(export_key, Params().reading)
        shutil.rmtree(tmp_path / "study" / "models" / export_key)
        with pytest.raises(UserError, match=r"recipe\.json: missing"):
            is_current(export_key, Params().reading)


@pytest.mark.parametrize(
    ("runtime", "precision", "expected"),
    [
        ("onnx", "float32", []),
        ("openvino", "float32", ["--format", "openvino"]),
        ("openvino", "int8", ["--format", "openvino", "--int8"]),
    ],
)
def test_an_export_is_made_anew_in_the_format_that_it_has(tmp_path, runtime, precision, expected, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert options("key") == []  # there is none
    folder = planted_export.write(tmp_path / "models/onnx/key", 1.0)
    certificate = json.loads((folder / "certificate.json").read_text()) | {"runtime": runtime, "precision": precision}
    for name in ("model.xml", "model.bin") if runtime == "openvino" else ():
        (folder / name).write_bytes(b"")
        certificate["files"][name] = hashlib.sha256(b"").hexdigest()
    (folder / "certificate.json").write_text(json.dumps(certificate))
    assert options("key") == expected


def test_two_exports_of_one_model_at_once_do_not_delete_each_other(tmp_path):
    first, second = threading.Event(), threading.Event()

    def slow():
        with make.whole(tmp_path / "onnx" / "key") as folder:
            first.set()
            second.wait(0.3)  # the other one begins
            (folder / "model").write_text("slow")

    thread = threading.Thread(target=slow)
    thread.start()
    first.wait(5)
    with make.whole(tmp_path / "onnx" / "key") as folder:
        second.set()
        (folder / "model").write_text("quick")
    thread.join()
    assert (tmp_path / "onnx" / "key" / "model").read_text() == "quick"


def test_an_export_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    """The second of the two renames fails."""
    folder = tmp_path / "onnx" / "key"
    with make.whole(folder) as new:
        (new / "model").write_text("old")
    rename = Path.rename

    def fails(self, target):
        if self.name.endswith(".partial"):
            raise PermissionError(13, "Permission denied", str(target))
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fails)
        with pytest.raises(PermissionError), make.whole(folder) as new:
            (new / "model").write_text("new")
    assert (folder / "model").read_text() == "old"
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == ["key"]


def test_an_export_killed_between_its_two_renames_is_found_again(tmp_path):
    folder = tmp_path / "onnx" / "key"
    with make.whole(folder) as new:
        (new / "model").write_text("old")
    folder.rename(folder.with_name(".key.old"))
    with pytest.raises(RuntimeError, match="network"), make.whole(folder):
        raise RuntimeError("this network cannot be written")
    assert (folder / "model").read_text() == "old"


@pytest.mark.parametrize("task", ["segmentation", "anomaly"])
def test_models_of_other_tasks_are_refused_with_what_serves_them(study, export_key, task):
    recipe = study / "models" / export_key / "recipe.json"
    recipe.write_text(json.dumps({**json.loads(recipe.read_text()), "task": task}))
    with pytest.raises(UserError, match=rf"its task is {task}, and export.*only classification.*mlflow models serve"):
        make.export(export_key, Params(), "auroc")
