from __future__ import annotations

import pytest

from stages.download import Params
from stages.shared.core.errors import UserError
from stages.shared.core.settings import parse


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"source": "web"}, "download.source: .*'phantom', 'kaggle' or 'folder'.*'web'"),
        ({"sorce": "phantom"}, "download.sorce: unknown key. Did you mean 'source'"),
        ({"source": "kaggle"}, "kaggle.dataset: missing"),
        ({"source": "kaggle", "kaggle": {"dataset": "a/b"}}, "kaggle.version: missing; pin the version of a/b"),
        ({"kaggle": {"dataset": "https://x.org/a/b"}}, "download.kaggle.dataset: .*owner/name"),
        ({"kaggle": {"dataset": "a/b", "version": 0}}, "download.kaggle.version: .*greater than 0"),
        (
            {"folder": {"path": "../images"}},
            r"download.folder.path: '\.\./images' leaves the repository.*absolute path: /",
        ),
        ({"folder": {"path": "data/../../images"}}, "leaves the repository"),
        ({"folder": {"path": "~/images"}}, "download.folder.path: '~/images' .*absolute path: /"),
        ({"folder": {"path": ""}}, "download.folder.path: empty"),
        ({"phantom": {"findings": {"normal": 1, "hase": 1}}}, "download.phantom.findings.*hase"),
        ({"phantom": {"findings": {}}}, "download.phantom: findings: empty"),
        ({"phantom": {"findings": {"normal": 0}}}, "download.phantom.findings.normal: .*greater than 0"),
        ({"phantom": {"images_per_patient": [3, 1]}}, r"images_per_patient: \[3, 1\] runs backwards"),
        ({"phantom": {"opacity": [0.5, 1.5]}}, "download.phantom.opacity"),
        ({"phantom": {"patients": 10}}, "faults: they need 21 different patients and there are 10"),
        ({"phantom": {"faults": {"corner_marker": 2}}}, "download.phantom.faults.corner_marker"),
        ({"phantom": {"size": 32}}, "download.phantom.size"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(section: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        parse(Params, section, "download")


def test_every_section_may_be_left_out() -> None:
    assert Params().source == "phantom"
    assert Params().folder.path == "data/folder"
    assert Params(source="kaggle", privacy="keep", kaggle={"dataset": "a-b/c_d", "version": 3}).kaggle.version == 3


@pytest.mark.parametrize("path", ["/data/images", "data/folder", "./x/../y", "images.tar.gz", "..images"])
def test_paths_inside_the_repository_and_absolute_ones_are_taken(path: str) -> None:
    assert Params(folder={"path": path}).folder.path == path
