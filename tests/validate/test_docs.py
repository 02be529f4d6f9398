"""The front page of the Data Docs."""

from __future__ import annotations

from pathlib import Path

from stages.validate.docs import front

CHECK = {"name": "readable", "description": "Every file is an image.", "severity": "critical"}
SUMMARY = {
    "success": True, "images": 7, "patients": 3, "patients_known": True, "quarantined": 5, "classes": {"<i>a</i>": 1, "b & c": 1},
    "checks": [
        CHECK | {"success": True, "failed": 0, "examples": []},
        CHECK | {"name": "unique", "success": False, "failed": 5, "examples": ["x<script>.png", "y.png"]},
    ],
}  # fmt: skip
REASONS = {"x<script>.png": "unreadable: <b>", "y.png": "blank: contrast 0.00, below 2"}
LINKS = [Path("validations/manifest/run/1.html"), Path("expectations/manifest.html")]


def test_failed_checks_come_first_with_examples_and_a_count_of_the_rest() -> None:
    page = front(SUMMARY, REASONS, LINKS, style="")
    assert page.index("<code>unique</code>") < page.index("<code>readable</code>")
    assert "<li>y.png</li>" in page
    assert "and 3 more" in page
    assert "The images that are kept pass all critical checks" in page
    assert '<a href="validations/manifest/run/1.html">Results: manifest</a>' in page
    assert '<a href="expectations/manifest.html">Expectations: manifest</a>' in page


def test_names_from_the_data_are_text_and_never_markup() -> None:
    page = front(SUMMARY, REASONS, LINKS, style="td > b { color: red }")
    assert "x&lt;script&gt;.png" in page
    assert "kept: &lt;i&gt;a&lt;/i&gt; 1, b &amp; c 1." in page
    assert "td > b" in page


def test_every_image_that_is_set_aside_stands_there_with_its_reason() -> None:
    page = front(SUMMARY, REASONS, LINKS, style="")
    assert "Images set aside, and why" in page
    assert '<td class="path">y.png</td><td>blank: contrast 0.00, below 2</td>' in page
    assert '<td class="path">x&lt;script&gt;.png</td><td>unreadable: &lt;b&gt;</td>' in page
    assert "Images that fail, and why" in front(SUMMARY | {"success": False}, REASONS, LINKS, style="")
    assert "why" not in front(SUMMARY, {}, LINKS, style="")


def test_without_patients_the_page_does_not_count_images_as_patients() -> None:
    assert "7 images of 3 patients;" in front(SUMMARY, {}, LINKS, style="")
    assert "7 images of unknown patients;" in front(SUMMARY | {"patients_known": False}, {}, LINKS, style="")
