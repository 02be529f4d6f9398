import shutil

import pytest
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

from stages import presets, study
from stages.shared.core import settings
from stages.shared.core.errors import UserError

NAMES = sorted(path.stem for path in presets.FOLDER.glob("*.yaml"))


@pytest.fixture
def here(workspace, repository):
    shutil.copy(repository / "params.yaml", workspace / "params.yaml")
    shutil.copytree(repository / "models" / "pretrained", workspace / "models" / "pretrained")
    return workspace


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_gives_valid_params_and_keeps_the_comments(here, name):
    presets.use(name)
    text = (here / "params.yaml").read_text()
    assert "# share of the images held out" in text
    assert study.check(settings.read())


def test_the_shipped_params_are_the_phantom_preset(here):
    before = settings.read()
    presets.use("phantom")
    assert settings.read() == before


@pytest.mark.parametrize("name", NAMES)
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
    for name in ("chest_xray", "phantom_pretraining", "brain_mri"):
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


def test_an_unknown_preset_and_a_missing_folder_leave_the_file_alone(here):
    before = (here / "params.yaml").read_bytes()
    with pytest.raises(UserError, match="'chest_xry' is not known. Did you mean 'chest_xray'"):
        presets.use("chest_xry")
    with pytest.raises(UserError, match="no such folder or archive"):
        presets.use("chest_xray", images="nowhere")
    assert (here / "params.yaml").read_bytes() == before


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_opens_with_what_it_is(name):
    first = (presets.FOLDER / f"{name}.yaml").read_text().partition("\n")[0]
    assert first.startswith("# ")
    assert isinstance(YAML(typ="safe").load((presets.FOLDER / f"{name}.yaml").read_text()), dict)
