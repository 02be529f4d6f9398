"""Patterns on member names."""

from __future__ import annotations

import pytest

from stages.validate.globs import matches, nearest_folders


@pytest.mark.parametrize(("name", "pattern", "expected"), [
    ("images/NORMAL/a.png", "images/NORMAL/*", True),
    ("images/NORMAL/deep/a.png", "images/NORMAL/*", False),
    ("images/NORMAL/deep/a.png", "images/NORMAL/**", True),
    ("images/NORMAL/a.png", "**/NORMAL/*", True),
    ("NORMAL/a.png", "**/NORMAL/*", True),
    ("x/ABNORMAL/a.png", "**/NORMAL/*", False),
    ("PNEUMONIA/person1_bacteria_2.jpeg", "PNEUMONIA/*bacteria*", True),
    ("PNEUMONIA/person1_virus_2.jpeg", "PNEUMONIA/*bacteria*", False),
    ("deep/down/notes.json", "*.json", True),
    ("notes.json.png", "*.json", False),
    ("yes/Y 1.jpg", "yes/Y ?.jpg", True),
    ("yes/Y 12.jpg", "yes/Y ?.jpg", False),
    ("a/b.png", "a/[ab].png", True),
    ("a/c.png", "a/[!ab].png", True),
    ("a/b.png", "a/[!ab].png", False),
    ("a/b+(1).png", "a/b+(1).png", True),
    ("a/b.png", "a/b?png", True),
    ("a/b.png", "a?b.png", False),
    ("NORMAL/a.png", "normal/*", False),
])  # fmt: skip
def test_pattern(name: str, pattern: str, expected: bool):
    assert matches(name, pattern) is expected


def test_nearest_folders_put_the_likeliest_first():
    names = ["train/NORMAL/a.png", "train/PNEUMONIA/b.png", "masks/c.png", "d.png"]
    assert nearest_folders("**/NORML/*", names)[0] == "train/NORMAL"
    assert nearest_folders("train/pneumo/*", names)[0] == "train/PNEUMONIA"
