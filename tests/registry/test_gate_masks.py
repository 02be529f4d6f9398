"""The gate and models that learned from images cropped to a mask."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stages.preprocess.arrays import ImageFile, write_arrays
from stages.preprocess.earlier import Earlier
from stages.registry import images
from stages.shared.arrays.masks import mask_files
from stages.shared.arrays.preprocessing import Preprocessor, PreprocessSpec
from stages.shared.core.errors import UserError
from stages.shared.core.paths import RAW
from stages.shared.exported.source import Source, UnusableImage
from stages.shared.images.archive import Archive, write_archive

from .test_gate import Bright

NAMES = [f"images/p{i}.png" for i in range(4)]


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


class Cropped(Bright):
    """A model of a study whose images are cropped."""

    spec = PreprocessSpec(size=24, steps=[{"CropToMask": {"margin": 0.1}}])

    def __init__(self, spec=spec):
        super().__init__()
        self.preprocessor = Preprocessor(spec, "recipe")
        self.needs_mask = self.preprocessor.crop_to_mask.without_mask == "refuse"

    def preprocess(self, data, name):
        return self.preprocessor(data, name)


@pytest.fixture
def masked(workspace):
    """Each with two structures: one mask is inverted, the other of another size than its image."""
    rng, members, rows = np.random.default_rng(0), [], []
    for i, name in enumerate(NAMES):
        left, right = np.full((60, 80), 255, np.uint8), np.zeros((30, 40), np.uint8)
        left[10 + i : 30, 8:20] = 0
        right[5:15, 22 : 28 + i] = 200
        members += [(name, png(rng.integers(0, 256, (60, 80), dtype=np.uint8)))]
        members += [(f"masks/left{i}.png", png(left)), (f"masks/right{i}.png", png(right))]
        masks = [
            {"structure": "left", "path": f"masks/left{i}.png", "invert": True, "threshold": 127},
            {"structure": "right", "path": f"masks/right{i}.png", "invert": False, "threshold": 100},
        ]
        rows.append({"path": name, "has_mask": True, "masks": masks})
    write_archive(workspace / "data" / "raw.zip", members)
    table = pd.DataFrame(rows)
    table.to_parquet(workspace / "data" / "manifest.parquet")
    return table


def test_images_are_cropped_as_they_were_for_training(masked, workspace):
    source = Source.of(Cropped(), NAMES, "test images")
    archive = Archive(RAW)
    files = [
        ImageFile(path, str(i), mask_files(masks, ["left", "right"]))
        for i, (path, masks) in enumerate(zip(masked["path"], masked["masks"], strict=True))
    ]
    write_arrays(workspace, archive, files, Preprocessor(Cropped.spec), Earlier(Cropped.spec))
    learned = np.load(workspace / "images.npy")
    for row, path in zip(learned, masked["path"], strict=True):
        assert np.array_equal(source.image(path), row)
    assert images.latency(Cropped(), masked) > 0
    scores = images.predictions(Cropped(), masked, "gate")["prob_sick"]
    expected = [Cropped().predict(row[None]).scores[0, 1] for row in learned]
    assert scores.tolist() == pytest.approx(expected)


def test_a_test_image_without_a_mask_stops_the_gate_with_the_reason(masked, workspace):
    masked.loc[1, "has_mask"] = False
    masked.at[1, "masks"] = []
    masked.to_parquet(workspace / "data" / "manifest.parquet")
    with pytest.raises(UserError, match=r"net-plan-a learned from .*cropped to a mask.* 1 of 4 test images have none"):
        images.predictions(Cropped(), masked, "gate")
    lenient = PreprocessSpec(size=24, steps=[{"CropToMask": {"margin": 0.1, "without_mask": "whole"}}])
    assert len(images.predictions(Cropped(lenient), masked, "gate")) == 4


def test_errors_that_name_an_image_are_of_one_kind_so_that_they_can_stay_out_of_public_texts(masked, workspace):
    masked.loc[0, "masks"][0]["path"] = "masks/gone.png"
    masked.loc[1, "masks"][0]["path"] = "notes.txt"
    masked.to_parquet(workspace / "data" / "manifest.parquet")
    members = [(name, Archive(RAW).read(name)) for name in Archive(RAW).names()]
    members[[name for name, _ in members].index(NAMES[2])] = (NAMES[2], b"no image")
    write_archive(workspace / "data" / "raw.zip", [*members, ("notes.txt", b"no image")])
    source = Source.of(Cropped(), NAMES, "test images")
    for path, named in zip(NAMES, ["masks/gone.png", "notes.txt", NAMES[2]], strict=False):
        with pytest.raises(UnusableImage, match=named):
            source.image(path)
    assert source.image(NAMES[3]).shape == (24, 24, 1)
