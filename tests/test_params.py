"""Wrong params.yaml: every fault stops before any work, names the key, the value and what is valid."""

from __future__ import annotations

import copy
from collections import Counter

import pytest

from stages import checking, study
from stages.commands import main
from stages.shared.core import settings
from stages.shared.core.errors import UserError
from stages.shared.core.paths import Key


@pytest.fixture
def raw(repository, monkeypatch, tmp_path):
    monkeypatch.chdir(repository)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))  # what was checked is remembered there
    shipped = copy.deepcopy(settings.read(repository / "params.yaml"))
    shipped["matrix"]["sample"] = ["tenth", "full"]
    shipped["train"]["epochs"] = 12
    return shipped


def put(raw, dotted, value):
    *path, last = dotted.split(".")
    for name in path:
        raw = raw[name]
    raw[last] = value


def test_the_shipped_file_is_fine_and_repeats_every_training(repository):
    shipped = settings.read(repository / "params.yaml")
    members = checking.check(shipped)
    trainings = Counter((member.strategy, shipped["samples"][member.sample]["fraction"]) for member in members)
    assert members[0] == Key("small_cnn", "from_scratch", "tenth")
    assert set(trainings.values()) == {3}  # one run is no answer about a method
    assert len(trainings) == 6


WRONG = [
    ("train.epoch", 5, r"train\.epoch: unknown key\. Did you mean 'epochs'\? Valid keys: .*batch_size"),
    ("trian", {}, r"'trian' is not known\. Did you mean 'train'"),
    ("train.epochs", "many", r"train\.epochs: input should be a valid integer.*found 'many'"),
    ("train.epochs", 0, r"train\.epochs: .*greater than or equal to 1; found 0"),
    ("train.optimizer.lr", -1, r"train\.optimizer\.lr: .*greater than 0; found -1"),
    ("train.optimizer.wieght_decay", 1, r"train\.optimizer\.wieght_decay: unknown key\. Did you mean 'weight_decay'"),
    (
        "train.precision",
        "half",
        r"train\.precision: input should be 'auto', '32-true', 'bf16-mixed' or '16-mixed'; found 'half'",
    ),
    ("matrix.backbone", ["resnet81"], r"matrix\.backbone: 'resnet81' is not known\. Did you mean 'resnet18'\?"),
    ("matrix.strategy", ["finetune"], r"matrix\.strategy: 'finetune' is not known\. Did you mean 'fine_tune'\?"),
    ("matrix.sample", ["ful"], r"matrix\.sample: 'ful' is not known\. Did you mean 'full'\?"),
    ("matrix.backbone", ["vit.b"], r"matrix\.backbone: .*'vit\.b' is not a valid name\. Use lower-case"),
    ("matrix.sample", ["full", "full"], r"'full' is listed twice"),
    ("strategies.fine_tune.plan", "finetune", r"strategies\.fine_tune\.plan: 'finetune' is not known\. Did you mean"),
    (
        "strategies.fine_tune.last_block",
        1,
        r"strategies\.fine_tune\.last_block: unknown key\. Did you mean 'last_blocks'",
    ),
    ("backbones.small_cnn.weights", "w.h5", r"backbones\.small_cnn\.weights: 'w\.h5' is neither none, imagenet"),
    ("backbones.small_cnn.weights", "imagenet", r"backbones\.small_cnn: there are no ImageNet weights for 'small_cnn'"),
    ("backbones.small_cnn.weights", "none", r"strategy 'feature_extraction' starts from pretrained weights"),
    ("train.workers", "many", r"train\.workers: input should be 'auto'; found 'many'"),
    (
        "validate.severity",
        {"min_contrst": "info"},
        r"validate\.severity\.min_contrst: input should be .*'min_contrast'",
    ),
    ("train.loss", {"name": "focal", "gama": 1}, r"train\.loss\.gama: unknown key\. Did you mean 'gamma'\?"),
    ("samples.full.fraction", 1.5, r"samples\.full\.fraction: .*less than or equal to 1; found 1\.5"),
    ("task", "segmentaton", r"params\.yaml: task: input should be 'classification'"),
    ("seed", "x", r"params\.yaml: seed: .*found 'x'"),
    ("validate.patient", "(", r"validate\.patient: '\(' is not a regular expression"),
    (
        "validate.classes",
        {"only": "*"},
        r"validate\.classes: only only, but task classification needs at least 2 classes",
    ),
    ("preprocess.split.test", 2, r"preprocess\.split\.test: .*found 2"),
    ("download.source", "kagle", r"download\.source: input should be 'phantom', 'kaggle' or 'folder'; found 'kagle'"),
    (
        "download.folder.path",
        "../images",
        r"download\.folder\.path: '\.\./images' leaves the repository.*absolute path",
    ),
    (
        "train.trainer.devices",
        -1,
        r"train\.trainer\.devices: -1 says neither how many devices nor which\. Give .* \[0, 2\]",
    ),
    ("train.trainer.devices", [1, 1], r"train\.trainer\.devices: \[1, 1\] says neither .*named once"),
    ("train.trainer.devices", [0, "1"], r"train\.trainer\.devices: \[0, '1'\] says neither"),
    (
        "train.schedule",
        {"name": "cosine", "warmup_epochs": 12},
        r"train: schedule\.warmup_epochs: 12 epochs of warm-up leave nothing of a training of 12\. Give fewer",
    ),
    ("samples.full", {"fold": 7}, r"samples\.full\.fold: 7: preprocess\.split\.folds makes \d\. Give 0 to \d"),
    ("train.trainer.devices", 2, r"train\.trainer: 2 processes .*Set train\.trainer\.strategy: ddp"),
    ("explain", None, r"explain: expected a section of settings, found None"),
    ("compare.baseline", "scratch", r"compare\.baseline: 'scratch' is not known\. Did you mean 'from_scratch'"),
    (
        "backbones.small_cnn.weights",
        "gone.safetensors",
        r"backbones\.small_cnn\.weights: gone\.safetensors: no such file",
    ),
    ("compare.replicates", 1000, r"compare: replicates: this key is gone. evaluate.bootstrap decides now"),
]


@pytest.mark.parametrize(("dotted", "value", "message"), WRONG, ids=[f"{d}={v!r}" for d, v, _ in WRONG])
def test_a_wrong_key_or_value_is_named_with_what_is_valid(raw, dotted, value, message):
    put(raw, dotted, value)
    with pytest.raises(UserError, match=message):
        checking.check(raw)


LIBRARIES_KNOW = [
    (
        "backbones.small_cnn.name",
        "smallcnn",
        r"backbones\.small_cnn\.name: 'smallcnn' is not known\. Did you mean 'small_cnn'",
    ),
    (
        "preprocess.steps",
        [{"CLAHE": {"clip_limits": 2}}],
        r"preprocess\.steps\[0\].*clip_limits.*Did you mean 'clip_limit'",
    ),
    ("train.augment", ["HorizontalFlop"], r"train\.augment\[0\].*HorizontalFlop.*Did you mean 'HorizontalFlip'"),
    (
        "backbones.small_cnn",
        {"source": "timm", "name": "vit_base_patch16_224", "weights": "augreg_in21k"},
        r"preprocess\.size: \[64, 64\]: backbones\.small_cnn takes 224 and nothing else\. Set preprocess\.size: 224",
    ),
    (
        "backbones.small_cnn",
        {"source": "torchvision", "name": "vit_b_16", "weights": "imagenet"},
        r"preprocess\.size: \[64, 64\]: backbones\.small_cnn takes 224",
    ),
    (
        "backbones.small_cnn",
        {"source": "timm", "name": "test_vit4", "weights": "imagenet"},
        r"backbones\.small_cnn\.weights: imagenet: timm has no weights for 'test_vit4'\. Give none",
    ),
    (
        "backbones.small_cnn",
        {"source": "timm", "name": "resnet18.a1_in2k", "weights": "models/pretrained/small_cnn_phantom.safetensors"},
        r"tag of 'resnet18': 'a1_in2k' is not known\. Did you mean 'a1_in1k'",
    ),
    (
        "strategies.fine_tune",
        {"plan": "fine_tune", "last_blocks": 6},
        r"strategies\.fine_tune: last_blocks is 6, and the backbone has 5 blocks \(stem, .*Give 1 to 5, or all",
    ),
    (
        "strategies.fine_tune",
        {"plan": "progressive_unfreezing", "every": 12},
        r"every is 12 .*train\.epochs is 12: the backbone would never learn\. Give less than 12",
    ),
]


@pytest.mark.parametrize(("dotted", "value", "message"), LIBRARIES_KNOW, ids=[d for d, _, _ in LIBRARIES_KNOW])
def test_names_that_only_the_libraries_know_are_checked_before_a_long_run(raw, dotted, value, message):
    put(raw, dotted, value)
    with pytest.raises(UserError, match=message):
        checking.check_all(raw)


@pytest.mark.parametrize("epochs", ["12", 12.0])
def test_plans_are_checked_with_the_number_that_the_settings_read(raw, epochs):
    put(raw, "train.epochs", epochs)
    put(raw, "strategies.fine_tune", {"plan": "progressive_unfreezing", "every": 11})
    checking.check_all(raw)
    put(raw, "strategies.fine_tune.every", 12)
    with pytest.raises(UserError, match=r"every is 12 .*train\.epochs is 12:"):
        checking.check_all(raw)


@pytest.fixture
def asked(monkeypatch):
    """The strategies for which train's own check was asked."""
    plans = []
    monkeypatch.setattr(study.train, "check", lambda params: plans.append(params.strategy.plan))
    return plans


def test_the_libraries_are_asked_once_for_the_same_settings(raw, asked):
    checking.check_all(raw)
    assert len(asked) == 6
    checking.check_all(raw)
    assert len(asked) == 6
    put(raw, "strategies.fine_tune.backbone_lr", 0.25)
    checking.check_all(raw)
    assert len(asked) == 12
    checking.check_all(raw, anew=True)
    assert len(asked) == 18


def test_what_was_accepted_is_forgotten_after_a_while(raw, asked, monkeypatch, tmp_path):
    monkeypatch.setattr(checking, "REMEMBERED", 2)
    for lr in (0.1, 0.2, 0.3, 0.4):
        put(raw, "strategies.fine_tune.backbone_lr", lr)
        checking.check_all(raw)
    assert len((tmp_path / checking.CHECKED).read_text().split()) == 2
    put(raw, "strategies.fine_tune.backbone_lr", 0.1)
    checking.check_all(raw)
    assert len(asked) == 5 * 6


def test_settings_with_a_fault_are_asked_about_again(raw):
    put(raw, "strategies.fine_tune.last_blocks", 99)
    for _ in range(2):
        with pytest.raises(UserError, match="last_blocks is 99"):
            checking.check_all(raw)


def test_a_fault_of_several_members_is_named_once_and_others_with_it(raw):
    put(raw, "strategies.fine_tune.last_blocks", 99)
    put(raw, "strategies.feature_extraction", {"plan": "progressive_unfreezing", "every": 99})
    with pytest.raises(UserError) as caught:
        checking.check_all(raw)
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["strategies.feature_extraction", "strategies.fine_tune"]


def test_weights_that_dvc_does_not_watch_are_told(raw, shipped, tmp_path, capsys):
    checking.check_all(raw)
    assert "note:" not in capsys.readouterr().err
    (elsewhere := tmp_path / "w.safetensors").write_bytes(shipped.read_bytes())
    put(raw, "backbones.small_cnn.weights", str(elsewhere))
    checking.check_all(raw)
    assert f"note: params.yaml: backbones: {elsewhere} lies outside" in capsys.readouterr().err


def test_the_first_training_tells_what_a_later_one_would_stumble_over(raw, monkeypatch, capsys):
    put(raw, "strategies.fine_tune.last_blocks", 99)
    monkeypatch.setattr(settings, "read", lambda *_: raw)
    assert main(["train", "--backbone", "small_cnn", "--strategy", "from_scratch", "--sample", "tenth"]) == 1
    assert "strategies.fine_tune: last_blocks is 99" in capsys.readouterr().err


def test_all_faults_are_told_at_once_each_once(raw):
    put(raw, "train.epochs", 0)
    put(raw, "explain.right", -1)
    with pytest.raises(UserError) as caught:
        checking.check(raw)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("params.yaml: train.epochs")
    assert lines[1].startswith("params.yaml: explain.right")


def test_a_removed_key_is_named(raw):
    del raw["train"]["batch_size"]
    with pytest.raises(UserError, match=r"train\.batch_size: missing"):
        checking.check(raw)


def test_a_number_that_yaml_reads_as_text_is_a_number(raw):
    put(raw, "train.optimizer.lr", "1e-3")
    assert study.resolve("train", raw, Key("small_cnn", "fine_tune", "full")).optimizer.lr == 1e-3


def test_an_empty_matrix_is_fine(raw):
    put(raw, "matrix.backbone", [])
    assert checking.check(raw) == []


def test_a_stage_gets_its_section_and_its_member_of_the_matrix(raw):
    found = study.resolve("train", raw, Key("small_cnn", "fine_tune", "tenth"))
    assert (found.strategy.plan, found.sample.fraction, found.backbone.name) == ("fine_tune", 0.1, "small_cnn")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "not readable as YAML"),
        ("a: 1\na: 2", "not readable as YAML.*duplicate key"),
        ("- 1", "expected a mapping"),
    ],
)
def test_a_file_that_is_no_mapping_is_an_error_in_words(workspace, text, message, capsys):
    (workspace / "params.yaml").write_text(text)
    assert main(["check"]) == 1
    error = capsys.readouterr().err.replace("\n", " ")
    assert error.startswith("error: params.yaml")
    assert all(part in error for part in message.split(".*"))


def test_without_a_file_the_remedy_is_the_right_folder(workspace, capsys):
    assert main(["check"]) == 1
    assert "Run from the root of the repository" in capsys.readouterr().err


def test_a_network_that_cannot_be_a_backbone_is_named_where_it_stands(raw):
    raw["backbones"]["odd"] = {"source": "timm", "name": "csatv2", "weights": "none"}
    raw["matrix"] |= {"backbone": ["odd"], "strategy": ["from_scratch"]}
    with pytest.raises(UserError, match=r"params\.yaml: backbones\.odd\.name: timm's 'csatv2' .*cannot be a backbone"):
        checking.check_all(raw)


def test_a_check_is_made_again_when_the_libraries_change(raw, asked, monkeypatch):
    for _ in range(2):
        checking.check_all(raw)
    assert len(asked) == 6
    monkeypatch.setattr(checking, "version", lambda name: "another")
    checking.check_all(raw)
    assert len(asked) == 12


@pytest.mark.parametrize(
    ("dotted", "value", "message"),
    [
        ("strategies.fine_tune.plan", ["fine_tune"], r"strategies\.fine_tune\.plan: .*is not known"),
        ("compare.baseline", ["fine_tune"], r"compare\.baseline: \['fine_tune'\] is not known"),
        ("train.optimizer.lr", float("inf"), r"train\.optimizer\.lr: input should be a finite number; found inf"),
        ("train.epochs", float("inf"), r"train\.epochs: input should be a finite number"),
        ("seed", float("nan"), r"seed: input should be a finite number"),
    ],
)
def test_a_value_of_an_odd_kind_is_named(raw, dotted, value, message):
    put(raw, dotted, value)
    with pytest.raises(UserError, match=message):
        checking.check(raw)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1: {}", r"params\.yaml: 1 is a key and not text\. Write it in quotes: '1'"),
        ("validate: {classes: {0: a, 1: b}}", r"params\.yaml: validate\.classes: 0 is a key and not text"),
        ("train: &x {inner: *x}", r"params\.yaml: an alias .* inside its own anchor"),
        ("a: [{b: {null: 1}}]", r"params\.yaml: a\.0\.b: None is a key"),
    ],
)
def test_a_key_that_is_no_text_is_named(workspace, text, message):
    (workspace / "params.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        settings.read()


def test_a_label_that_would_become_a_pseudonym_is_named_before_any_work(raw):
    labels = {"table": "t.csv", "path_column": "file", "label_column": "finding", "split_column": "part"}
    own = {**raw, "validate": {**raw["validate"], "labels": labels}}
    hidden = {"source": "folder", "pseudonyms": {"names": "", "columns": ["finding"]}}
    own["download"] = {**raw["download"], **hidden}
    with pytest.raises(UserError, match=r"validate.labels.split_column: 'part' is not in download.pseudonyms.columns"):
        checking.check_needs(own)
    named = {"names": "", "columns": [*labels.values()]}
    for other in ({"source": "phantom"}, {"privacy": "keep"}, {"pseudonyms": named}):
        checking.check_needs({**own, "download": {**own["download"], **other}})


def test_a_task_that_learns_from_masks_needs_them_and_one_class_is_enough_for_it(raw):
    one = {**raw, "validate": {**raw["validate"], "classes": {"film": "images/**"}}}
    segmentation = {**one, "task": "segmentation"}
    checking.check_needs(segmentation)
    segmentation["validate"]["mask"] = None
    with pytest.raises(UserError, match=r"validate.mask: null, but task segmentation learns from masks"):
        checking.check_needs(segmentation)
    crop = {
        **one,
        "task": "segmentation",
        "preprocess": {**raw["preprocess"], "steps": ["CLAHE", {"CropToMask": {"margin": 0.1}}]},
    }
    crop["validate"] = {**crop["validate"], "mask": {"lung": "masks/{stem}.png"}}
    with pytest.raises(UserError, match=r"CropToMask .* task segmentation learns to find that mask"):
        checking.check_needs(crop)
    checking.check_needs({**raw, "task": "classification", "preprocess": crop["preprocess"]})
    with pytest.raises(UserError, match=r"only film, but task anomaly needs at least 2 classes"):
        checking.check_needs({**one, "task": "anomaly"})


@pytest.fixture
def own_images(raw, tmp_path):
    """Settings for a folder with a table of labels."""
    folder = tmp_path / "films"
    folder.mkdir()
    for patient in ("P1", "P2"):
        (folder / f"{patient}.png").write_bytes(b"")
    (folder / "labels.csv").write_text("file,finding\nP1.png,well\nP2.png,ill\n")
    raw["download"] |= {"source": "folder", "folder": {"path": str(folder)}, "privacy": "keep"}
    labels = {"table": "labels.csv", "path_column": "file", "label_column": "finding"}
    raw["validate"] |= {"labels": labels, "classes": {"well": "well", "ill": "ill"}, "mask": None, "patient": r"P\d"}
    return raw


@pytest.mark.parametrize("privacy", ["keep", "pseudonymise"])
def test_a_table_is_looked_at_before_the_images_are_packed(own_images, privacy):
    own_images["download"] |= {"privacy": privacy, "pseudonyms": {"names": r"P\d", "columns": ["finding"]}}
    checking.check_source(own_images)
    own_images["validate"]["labels"]["label_column"] = "findings"
    with pytest.raises(
        UserError,
        match=r"validate\.labels\.label_column: column of labels\.csv: 'findings' is not known\. Did you mean 'finding'",
    ):
        checking.check_source(own_images)


@pytest.mark.parametrize(("change", "message"), [
    ({"classes": {"well": "well", "ill": "il"}}, r"validate\.classes\.ill: 'il' is in no row of labels\.csv"),
    ({"patient": r"X\d"}, r"validate\.patient: 'X\\\\d' finds a patient in none of 2 names"),
    ({"labels": None, "classes": {"well": "well/*", "ill": "*2.png"}}, r"well/\* matches none of the 2 files in .*films"),
])  # fmt: skip
def test_patterns_that_do_not_fit_the_folder_are_named(own_images, change, message):
    own_images["validate"] |= change
    with pytest.raises(UserError, match=message) as error:
        checking.check_source(own_images)
    assert "raw.zip" not in str(error.value)


def test_a_folder_that_is_not_there_is_named(own_images):
    own_images["download"]["folder"]["path"] = "/nowhere/at/all"
    with pytest.raises(UserError, match=r"download\.folder\.path: '/nowhere/at/all' does not exist"):
        checking.check_source(own_images)
