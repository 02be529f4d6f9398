"""Masks: which file is whose, what is in it, and what is refused."""

from __future__ import annotations

import io
import json

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stages.shared.core.errors import UserError
from stages.shared.core.job import Job
from stages.shared.core.paths import MANIFEST, VALIDATION
from stages.shared.core.settings import parse
from stages.validate import Params, run
from stages.validate.mask_inspection import areas, inspect_mask
from stages.validate.masks import MaskFile
from stages.validate.names import assign

TWO = {"normal": "NORMAL/*", "sick": "SICK/*"}
IMAGES = ["NORMAL/CHN_1.png", "NORMAL/MCU_2.png", "SICK/CHN_3.png"]


def files(names: list[str], **values: object):
    return assign(sorted(names), parse(Params, {"classes": TWO, **values}, "validate"), lambda _: b"")


def paths(result) -> dict[str, list[tuple[str, str]]]:
    return {image: [(file.structure, file.path) for file in masks.files] for image, masks in result.masks.items()}


def test_of_a_list_of_patterns_the_first_that_exists_is_the_mask():
    masks = ["masks/CHN_1_mask.png", "masks/MCU_2.png", "masks/CHN_3.png", "masks/CHN_3_mask.png"]
    result = files([*IMAGES, *masks], mask=["masks/{stem}.png", "masks/{stem}_mask.png"])
    assert paths(result) == {
        "NORMAL/CHN_1.png": [("mask", "masks/CHN_1_mask.png")],
        "NORMAL/MCU_2.png": [("mask", "masks/MCU_2.png")],
        "SICK/CHN_3.png": [("mask", "masks/CHN_3.png")],
    }
    assert result.stray_masks == result.others == [], "the second mask of CHN_3 is nobody else's"


def test_a_union_needs_all_of_its_files():
    masks = ["left/CHN_1.png", "right/CHN_1.png", "left/MCU_2.png"]
    lung = {"lung": {"files": ["left/{stem}.png", "right/{stem}.png"], "union": True}}
    result = files([*IMAGES, *masks], mask=lung)
    assert [result.masks[image].annotated for image in IMAGES] == [True, False, False]
    assert [result.masks[image].missing for image in IMAGES] == [[], ["lung"], ["lung"]]
    assert paths(result)["NORMAL/CHN_1.png"] == [("lung", "left/CHN_1.png"), ("lung", "right/CHN_1.png")]
    assert result.stray_masks == [], "the left lung of MCU_2 has its image"


def test_an_image_is_annotated_where_it_has_every_structure():
    masks = ["heart/CHN_1.png", "lung/CHN_1.png", "lung/MCU_2.png"]
    result = files([*IMAGES, *masks], mask={"lung": "lung/{stem}.png", "heart": "heart/{stem}.png"})
    assert [result.masks[image].annotated for image in IMAGES] == [True, False, False]
    assert result.masks["NORMAL/MCU_2.png"].missing == ["heart"]
    assert [structure for structure, _ in paths(result)["NORMAL/CHN_1.png"]] == ["lung", "heart"]


def test_a_structure_without_any_file_is_refused_by_name():
    with pytest.raises(
        UserError, match=r"validate.mask.heart: 'hart/{stem}.png': no such file.*looks for hart/CHN_1.png"
    ):
        files([*IMAGES, "lung/CHN_1.png"], mask={"lung": "lung/{stem}.png", "heart": "hart/{stem}.png"})


def test_one_file_for_two_structures_is_refused():
    with pytest.raises(UserError, match=r"m/CHN_1.png of NORMAL/CHN_1.png \(a\), NORMAL/CHN_1.png \(b\)"):
        files([*IMAGES, "m/CHN_1.png"], mask={"a": "m/{stem}.png", "b": "m/{name}"})


def test_masks_without_an_image_are_listed_and_are_no_images():
    result = files([*IMAGES, "masks/CHN_1.png", "masks/CHN_9.png", "other.png"], mask="masks/{stem}.png")
    assert result.stray_masks == ["masks/CHN_9.png"]
    assert set(result.images["path"]) == {*IMAGES, "other.png"}


def test_a_mask_beside_its_image_is_no_image_though_the_pattern_of_the_class_fits_it():
    names = [f"brain/P{p}/P{p}_{k}{kind}.tif" for p in (1, 2) for k in (1, 2) for kind in ("", "_mask")]
    result = files(names, classes={"glioma": "brain/**"}, mask="{folder}/{stem}_mask.tif", patient=r"P\d")
    assert result.images["path"].tolist() == [name for name in names if "mask" not in name]
    assert all(masks.annotated for masks in result.masks.values())
    assert result.others == []


def test_sites_are_found_as_patients_are():
    result = files(IMAGES, site="(CHN|MCU)_")
    assert result.images["site"].tolist() == ["CHN", "MCU", "CHN"]
    assert files(IMAGES, site="(?P<site>MCU)").images["site"].fillna("none").tolist() == ["none", "MCU", "none"]
    with pytest.raises(UserError, match=r"validate.site: 'XYZ' finds a site in none of 3 names.*for no sites"):
        files(IMAGES, site="XYZ")
    assert files(IMAGES).images["site"].isna().all()


def ellipse(shape: tuple[int, int] = (72, 64), x: float = 0.5, level: int = 255, ground: int = 0) -> np.ndarray:
    array = np.full(shape, ground, np.uint8)
    return cv2.ellipse(array, (int(x * shape[1]), shape[0] // 2), (shape[1] // 7, shape[0] // 4), 0, 0, 360, level, -1)


def encode(array: np.ndarray, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, form, **options)
    return buffer.getvalue()


@given(quality=st.integers(40, 95), x=st.floats(0.2, 0.8), side=st.integers(40, 300), blur=st.floats(0, 1.5))
def test_fringes_of_jpeg_and_resizing_are_no_third_level(quality: int, x: float, side: int, blur: float):
    mask = ellipse((side, side), x)
    soft = cv2.GaussianBlur(mask, (0, 0), blur) if blur > 0.3 else mask
    grey = np.asarray(Image.open(io.BytesIO(encode(soft, "JPEG", quality=quality))))
    resized = cv2.resize(grey, (side * 2, side * 3 // 2), interpolation=cv2.INTER_LINEAR)
    for array in (grey, resized):
        assert len(areas(array)) == 2


@given(
    levels=st.lists(st.sampled_from(range(0, 256, 40)), min_size=1, max_size=4, unique=True), seed=st.integers(0, 99)
)
def test_levels_that_fill_areas_are_the_levels_that_were_painted(levels: list[int], seed: int):
    array = np.full((90, 120), levels[0], np.uint8)
    for k, level in enumerate(levels[1:]):
        array[10:70, 25 * k + 10 : 25 * k + 30] = level
    assert areas(array) == tuple(sorted(levels))


def test_class_numbers_in_one_file_are_levels_too():
    array = np.zeros((60, 60), np.uint8)
    array[10:30, 10:30], array[30:50, 10:30] = 1, 2
    assert areas(array) == (0, 1, 2)


def test_an_inspection_counts_what_the_threshold_and_inversion_leave():
    array = np.zeros((40, 50), np.uint8)
    array[10:30, 10:20] = 200
    plain = inspect_mask(encode(array), MaskFile("lung", "m.png", invert=False, threshold=127))
    assert (plain.width, plain.height, plain.levels) == (50, 40, (0, 200))
    assert (plain.share, plain.border) == (200 / 2000, 0)
    turned = inspect_mask(encode(array), MaskFile("lung", "m.png", invert=True, threshold=127))
    assert (turned.share, turned.border) == (1 - 200 / 2000, 1)
    none = inspect_mask(encode(array), MaskFile("lung", "m.png", invert=False, threshold=200))
    assert none.share == 0
    assert "truncated" in inspect_mask(encode(array)[:60], MaskFile("lung", "m.png", False, 127)).fault


BASE = {
    "classes": {"normal": "images/NORMAL/*", "pneumonia": "images/PNEUMONIA/*"},
    "patient": r"patient\d+",
    "mask": {"lung": "masks/lung/{stem}.png"},
    "limits": {"min_images_per_class": 1},
}


def validate(**values: object) -> pd.DataFrame:
    run(parse(Params, {**BASE, "on_failure": "quarantine", **values}, "validate"), Job())
    return pd.read_parquet(MANIFEST).set_index("path", drop=False)


def failed() -> dict[str, list[str]]:
    return {c["name"]: c["examples"] for c in json.loads(VALIDATION.read_text())["checks"] if not c["success"]}


def image(name: str) -> str:
    return f"images/{'NORMAL' if 'normal' in name else 'PNEUMONIA'}/{name}"


@pytest.fixture
def spoilt(films) -> tuple[dict[str, bytes], dict[str, str]]:
    """Twelve patients; masks with one fault each; and the fault's words by image."""
    grey = ellipse()
    grey[30:50, 20:30] = 128
    masks = {
        "patient0000_normal_1.png": (encode(255 - ellipse()), None),
        "patient0000_normal_2.png": (encode(cv2.GaussianBlur(ellipse(), (0, 0), 1), "JPEG", quality=70), None),
        "patient0001_normal_1.png": (encode(ellipse((144, 128))), None),
        "patient0001_normal_2.png": (encode(ellipse((72, 80))), "mask of another film: .* has 80×72 pixels, the image 64×72"),
        "patient0002_normal_1.png": (encode(np.zeros((72, 64), np.uint8)), None),
        "patient0002_normal_2.png": (encode(np.full((72, 64), 255, np.uint8)), "covers 100.0%.*lung.*dark.*invert: true"),
        "patient0003_normal_1.png": (encode(grey), "3 grey levels: 0, 128, 255. A mask has two, inside and outside lung"),
        "patient0003_normal_2.png": (encode(ellipse(level=1)), "levels from 0 to 1, all on one side of threshold 127"),
        "patient0006_haze_1.png": (encode(ellipse())[:70], "unreadable mask: .*truncated"),
        "patient0006_haze_2.png": (None, None),
        "patient0099_haze_9.png": (encode(ellipse()), None),
    }  # fmt: skip
    members = {name: encode(ellipse()) if "masks/" in name else data for name, data in films.items()}
    for name, (data, _) in masks.items():
        members[f"masks/lung/{name}"] = data
    words = {image(name): words for name, (_, words) in masks.items() if words}
    return {name: data for name, data in members.items() if data}, words


def test_each_fault_of_a_mask_is_named_and_sets_its_image_aside_where_it_is_critical(pack, spoilt):
    members, words = spoilt
    pack(members)
    table = validate()
    aside = table[table["quarantined"]]
    assert set(aside["path"]) == set(words)
    for path, expected in words.items():
        assert pd.Series([aside["reason"][path]]).str.contains(expected, regex=True).all(), aside["reason"][path]
    lung = "masks/lung/patient"
    full, inverted = f"{lung}0002_normal_2.png", f"{lung}0000_normal_1.png"
    assert failed() == {
        "mask_present": [image("patient0006_haze_2.png")],
        "mask_readable": [f"{lung}0006_haze_1.png"],
        "mask_proportions": [f"{lung}0001_normal_2.png"],
        "mask_size": [f"{lung}0001_normal_1.png", f"{lung}0001_normal_2.png"],
        "mask_levels": [f"{lung}0003_normal_1.png"],
        "mask_threshold": [f"{lung}0003_normal_2.png"],
        "mask_full": [full],
        "mask_empty": [f"{lung}0002_normal_1.png", f"{lung}0003_normal_2.png"],
        "mask_not_inverted": [inverted, full],
        "mask_without_image": [f"{lung}0099_haze_9.png"],
    }
    assert table["has_mask"].sum() == len(table) - 1
    assert [len(masks) for masks in table["masks"]] == table["has_mask"].astype(int).tolist()
    entry = table["masks"][image("patient0000_normal_1.png")][0]
    assert entry == {"structure": "lung", "path": inverted, "invert": False, "threshold": 127}


def test_inverted_masks_and_masks_of_zeros_and_ones_are_fine_when_params_say_so(pack, films):
    pack({name: encode(1 - ellipse(level=1)) if "masks/" in name else data for name, data in films.items()})
    mask = {"lung": {"files": "masks/lung/{stem}.png", "invert": True, "threshold": 254}}
    assert not validate(mask=mask)["quarantined"].any()
    assert failed() == {}


def test_a_set_without_masks_is_checked_for_none(pack, films):
    pack(films)
    table = validate(mask=None, ignore="masks/**")
    assert not table["has_mask"].any()
    assert all(len(masks) == 0 for masks in table["masks"])
    names = [check["name"] for check in json.loads(VALIDATION.read_text())["checks"]]
    assert not [name for name in names if "mask" in name]


def test_severities_of_masks_can_be_changed(pack, spoilt):
    pack(spoilt[0])
    table = validate(severity={"mask_levels": "warning", "mask_empty": "critical"})
    assert not table["quarantined"][image("patient0003_normal_1.png")]
    assert "is empty" in table["reason"][image("patient0002_normal_1.png")]


def test_an_image_without_a_site_is_a_warning(pack, films):
    pack(films)
    table = validate(site="normal")
    assert set(table["site"].dropna()) == {"normal"}
    assert len(failed()["has_site"]) == 12
    assert not table["quarantined"].any()
