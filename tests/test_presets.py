import io
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from dvc.repo import Repo
from dvc.utils.hydra import apply_overrides
from PIL import Image
from ruamel.yaml import YAML

from stages import checking, download, presets, study, validate
from stages.shared.core import settings
from stages.shared.core.errors import UserError
from stages.shared.core.job import Job
from stages.shared.core.paths import MANIFEST, VALIDATION

PRESETS = presets.all_presets()
FORMS = [(name, False) for name in PRESETS] + [(name, True) for name, preset in PRESETS.items() if preset.small]
STUDIES = ["edema_vgg16", "pneumonia", "pneumonia_kinds", "covid_3class", "brain_tumour"]


@pytest.fixture
def here(workspace, repository):
    shutil.copy(repository / "params.yaml", workspace / "params.yaml")
    shutil.copy(repository / "expectations.yaml", workspace / "expectations.yaml")
    shutil.copytree(repository / "models" / "pretrained", workspace / "models" / "pretrained")
    return workspace


@pytest.mark.parametrize(("name", "small"), FORMS)
def test_every_preset_gives_valid_params_and_keeps_the_comments(here, name, small):
    presets.use(name, small=small)
    text = (here / "params.yaml").read_text()
    assert "# share of the images held out" in text
    assert checking.check(settings.read())


def test_the_shipped_params_are_the_phantom_preset(here):
    before = settings.read()
    presets.use("phantom")
    assert settings.read() == before


@pytest.mark.parametrize("name", list(PRESETS))
def test_one_setting_changed_by_dvc_changes_one_line(here, name):
    """`dvc exp run -S` writes params.yaml anew, and every list in a layout of its own."""
    presets.use(name)
    before = (here / "params.yaml").read_text().splitlines()
    apply_overrides("params.yaml", ["train.epochs=77"])
    after = (here / "params.yaml").read_text().splitlines()
    assert [a.strip() for a, b in zip(after, before, strict=True) if a != b] == ["epochs: 77"]


def test_presets_in_any_order_give_the_same_file(here):
    """The order of keys included: of two classes the second is the positive one."""
    shipped = (here / "params.yaml").read_bytes()
    for name in ("chest_xray", "phantom_pretraining", *PRESETS, "brain_mri"):
        presets.use(name)
    after_others = (here / "params.yaml").read_bytes()
    presets.use("phantom")
    assert (here / "params.yaml").read_bytes() == shipped
    presets.use("brain_mri")
    assert (here / "params.yaml").read_bytes() == after_others
    assert list(settings.read()["validate"]["classes"]) == ["no", "yes"]


def test_every_line_of_a_preset_keeps_its_comment(here):
    def comments():
        return [line.partition(" # ")[2] for line in (here / "params.yaml").read_text().splitlines() if " # " in line]

    before = comments()
    presets.use("brain_mri")
    assert comments() == before


def test_images_of_ones_own_replace_the_download(here, tmp_path):
    (tmp_path / "films").mkdir()
    presets.use("chest_xray", images=str(tmp_path / "films"))
    download = settings.read()["download"]
    assert (download["source"], download["folder"]["path"]) == ("folder", str(tmp_path / "films"))


def test_a_folder_that_no_pattern_fits_is_said_at_once(here, capsys):
    for name in ("well/a.png", "ill/b.png", "notes.txt"):
        (here / "films" / name).parent.mkdir(parents=True, exist_ok=True)
        (here / "films" / name).write_bytes(b"")
    presets.use("chest_xray", images="films")
    assert settings.read()["download"]["source"] == "folder"
    stderr = capsys.readouterr().err
    assert re.search(
        r"not yet for .*: params.yaml: validate.classes.\w+: \S*NORMAL\S* matches none of the 2 files", stderr
    )
    assert f"in {here / 'films'}. Folders with files there, most similar first: ill, well" in stderr
    assert "raw.zip" not in stderr


def test_masks_of_a_preset_are_not_looked_for_among_images_that_have_none(here, capsys):
    (here / "films/COVID/images").mkdir(parents=True)
    (here / "films/COVID/images/COVID-1.png").write_bytes(b"")
    presets.use("covid_3class", images="films")
    assert settings.read()["validate"]["mask"] is None
    assert "validate.mask is null: no file of films is named as covid_3class names a mask" in capsys.readouterr().out
    (here / "films/COVID/masks").mkdir(parents=True)
    (here / "films/COVID/masks/COVID-1.png").write_bytes(b"")
    presets.use("covid_3class", images="films")
    assert settings.read()["validate"]["mask"] == {"lung": "{folder}/../masks/{stem}.png"}


def test_an_unknown_preset_and_a_missing_folder_leave_the_file_alone(here):
    before = (here / "params.yaml").read_bytes()
    with pytest.raises(UserError, match="'chest_xry' is not known. Did you mean 'chest_xray'"):
        presets.use("chest_xry")
    with pytest.raises(UserError, match="no such folder or archive"):
        presets.use("chest_xray", images="nowhere")
    with pytest.raises(UserError, match="phantom --small: it has no short form. Those that have: brain_anomaly, "):
        presets.use("phantom", small=True)
    assert (here / "params.yaml").read_bytes() == before


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_preset_opens_with_what_it_is(name):
    first = (presets.FOLDER / f"{name}.yaml").read_text().partition("\n")[0]
    assert first.startswith("# ")
    assert isinstance(YAML(typ="safe").load((presets.FOLDER / f"{name}.yaml").read_text()), dict)


def test_a_short_form_leaves_nothing_behind(here):
    presets.use("pneumonia")
    whole = (here / "params.yaml").read_bytes()
    presets.use("pneumonia", small=True)
    assert settings.read()["preprocess"]["size"] == 96
    assert "few" in settings.read()["samples"]
    presets.use("pneumonia")
    assert (here / "params.yaml").read_bytes() == whole


def test_a_short_form_needs_no_download_of_weights(here):
    packaged = {"small_cnn", "efficientnet_lite0"}
    for name in (name for name, small in FORMS if small):
        presets.use(name, small=True)
        assert {key.backbone for key in checking.check(settings.read())} <= packaged, name


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_told_by_its_header_and_its_size(name):
    preset = PRESETS[name]
    header = (presets.FOLDER / f"{name}.yaml").read_text().partition("\nabout:")[0]
    assert f"use {name} [--small]" in header
    assert preset.small
    assert preset.about.images
    assert preset.about.download_gb


@pytest.fixture(scope="module")
def on_paper(repository, tmp_path_factory):
    """A DVC repository with this pipeline, and no run of it."""
    folder = tmp_path_factory.mktemp("paper")
    for name in ("dvc.yaml", "params.yaml", ".dvcignore"):
        shutil.copy(repository / name, folder / name)
    (folder / "stages").symlink_to(repository / "stages")
    shutil.copytree(repository / "models" / "pretrained", folder / "models" / "pretrained")
    (folder / "films").mkdir()
    (folder / "films" / "a.png").write_bytes(b"film")
    Repo.init(str(folder), no_scm=True)
    return folder


@pytest.mark.parametrize(("name", "small"), [(name, small) for name in STUDIES for small in (False, True)])
def test_dvc_would_run_every_stage_of_a_study(on_paper, monkeypatch, name, small):
    monkeypatch.chdir(on_paper)
    presets.use(name, images="films", small=small)
    keys = checking.check(settings.read())
    with Repo(str(on_paper)) as repo:
        # force: else DVC looks into its run cache with the hash of a file that is not made yet
        planned = [stage.addressing for stage in repo.reproduce(dry=True, force=True)]
    matrix = study.parse_matrix(settings.read())
    assert set(planned) == {name for name in study.STAGES if name not in study.PER_MEMBER} | {
        matrix.target(stage, key) for stage in study.PER_MEMBER for key in keys
    }


TB = "Lung Segmentation"
QU = "Lung Segmentation Data/Lung Segmentation Data"


def tb_lungs() -> dict[str, str]:
    """file -> film or mask, named as in the real set."""
    films = [f"{site}CXR_{k:04d}_{k % 2}" for site in ("MCU", "CHN") for k in range(1, 13)]
    tree = {f"{TB}/CXR_png/{film}.png": "film" for film in films} | {
        f"{TB}/test/{film}.png": "film" for film in films[:3]
    }
    tree |= {f"{TB}/masks/{film}{'_mask' * ('CHN' in film)}.png": "mask" for film in films if film != "CHNCXR_0007_1"}
    return tree | {f"{TB}/ClinicalReadings/{film}.txt": "text" for film in films}


def covid_qu() -> dict[str, str]:
    kinds = [(part, label) for part in ("Train", "Val", "Test") for label in ("COVID-19", "Non-COVID", "Normal")]
    films = [(f"{QU}/{part}/{label}", f"{label} ({k})") for part, label in kinds for k in range(4)]
    tree = {f"{folder}/images/{film}.png": "film" for folder, film in films}
    tree |= {f"{folder}/lung masks/{film}.png": "mask" for folder, film in films}
    return tree | {"Infection Segmentation Data/Train/COVID-19/images/1.png": "film"}


def glioma_lgg() -> dict[str, str]:
    patients = ("TCGA_CS_4941_19960909", "TCGA_DU_5849_19950405", "TCGA_HT_7473_19970826")
    slices = [f"kaggle_3m/{patient}/{patient}_{k}" for patient in patients for k in range(1, 11)]
    tree = {f"{name}.tif": "film" for name in slices}
    tree |= {f"{name}_mask.tif": "mask" if name.endswith("_5") else "empty" for name in slices}
    return tree | {f"lgg-mri-segmentation/{name}": kind for name, kind in tree.items()} | {"kaggle_3m/data.csv": "text"}


def content(kind: str, seed: int, form: str) -> bytes:
    rng, buffer = np.random.default_rng(seed), io.BytesIO()
    if kind == "text":
        return b"text"
    array = np.zeros((64, 64), np.uint8)
    if kind == "mask":
        array[10:50, 10:50] = 255
    if kind == "film":
        array = np.asarray(Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).resize((64, 64)))
    Image.fromarray(array).save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize(("tree", "annotated", "patients", "sites", "warnings"), [
    (tb_lungs, [23, 1], 24, {"MCUCXR": 12, "CHNCXR": 12}, {"mask_present": 1}),
    (covid_qu, [36, 0], 36, {}, {}),
    (glioma_lgg, [30, 0], 3, {"CS": 10, "DU": 10, "HT": 10}, {"mask_empty": 27}),
])  # fmt: skip
def test_a_preset_of_masks_understands_names_as_in_its_set(here, tree, annotated, patients, sites, warnings):
    for seed, (name, kind) in enumerate(tree().items()):
        path = here / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(kind, seed, "TIFF" if name.endswith("tif") else "PNG"))
    presets.use(tree.__name__, images="set")
    raw = settings.read()
    download.run(study.resolve("download", raw), Job())
    validate.run(study.resolve("validate", raw), Job())
    manifest = pd.read_parquet(MANIFEST)
    assert not manifest["quarantined"].any()
    assert [manifest["has_mask"].sum(), (~manifest["has_mask"]).sum()] == annotated
    assert manifest["patient"].nunique() == patients
    assert manifest["site"].value_counts().to_dict() == sites
    checks = json.loads(VALIDATION.read_text())["checks"]
    assert {check["name"]: check["failed"] for check in checks if not check["success"]} == warnings
