"""The front page of the Data Docs."""

from __future__ import annotations

from pathlib import Path

from stages.validate.docs import front

CHECK = {"name": "readable", "description": "Every file is an image.", "severity": "critical"}
SUMMARY = {
    "success": True, "images": 7, "patients": 3, "quarantined": 5, "classes": {"<i>a</i>": 1, "b & c": 1},
    "checks": [
        CHECK | {"success": True, "failed": 0, "examples": []},
        CHECK | {"name": "unique", "success": False, "failed": 5, "examples": ["x<script>.png", "y.png"]},
    ],
}  # fmt: skip
LINKS = [Path("validations/manifest/run/1.html"), Path("expectations/manifest.html")]


def test_failed_checks_come_first_with_examples_and_a_count_of_the_rest() -> None:
    page = front(SUMMARY, LINKS, style="")
    assert page.index("<code>unique</code>") < page.index("<code>readable</code>")
    assert "<li>y.png</li>" in page
    assert "and 3 more" in page
    assert "The images that are kept pass all critical checks" in page
    assert '<a href="validations/manifest/run/1.html">Results: manifest</a>' in page
    assert '<a href="expectations/manifest.html">Expectations: manifest</a>' in page


def test_names_from_the_data_are_text_and_never_markup() -> None:
    page = front(SUMMARY, LINKS, style="td > b { color: red }")
    assert "x&lt;script&gt;.png" in page
    assert "kept: &lt;i&gt;a&lt;/i&gt; 1, b &amp; c 1." in page
    assert "td > b" in page
