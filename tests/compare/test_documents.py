from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pptx
import pytest

from stages import compare
from stages.compare.documents import deck
from stages.compare.documents.checklist import CLAIM, TRIPOD, Item
from stages.compare.documents.references import entries
from stages.shared.core.job import Job


@pytest.fixture(scope="module")
def documents(compared: dict[str, Path]) -> Path:
    return compared["binary"] / "documents"


def test_the_checklists_have_every_item_of_their_sources_once() -> None:
    assert [item.number for item in CLAIM.items] == [str(n) for n in range(1, 45)]
    numbers = [item.number for item in TRIPOD.items]
    assert len(set(numbers)) == len(numbers) == 52
    assert {int(re.match(r"\d+", number)[0]) for number in numbers} == set(range(1, 28))


@pytest.mark.parametrize("checklist", [CLAIM, TRIPOD], ids=lambda checklist: checklist.file)
def test_an_answer_comes_with_its_place_and_what_is_open_says_so(documents: Path, checklist: object) -> None:
    text = (documents / f"{checklist.file}.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+\w?) \| (.*?) \| (answered|in part|open) \| (.*) \|$", text, flags=re.M)
    assert [number for number, *_ in rows] == [item.number for item in checklist.items]
    ids = set(re.findall(r'id="([^"]+)"', (documents.parent / "index.html").read_text(encoding="utf-8")))
    for number, _, status, answer in rows:
        places = re.findall(r"\]\(\.\./index\.html#([\w-]+)\)", answer)
        assert set(places) <= ids
        assert bool(places) == (status != "open"), number
        assert ("To be answered by the authors" in answer) == (status != "answered"), number
    counted = [sum(row[2] == status for row in rows) for status in ("answered", "in part", "open")]
    assert f"{counted[0]} of {len(rows)} items answered, {counted[1]} in part, {counted[2]} open" in text


def test_no_file_can_say_who_paid_or_who_agreed() -> None:
    human = {"funding", "ethical approval", "conflicts of interest", "who annotated", "registration", "involvement"}
    asked: list[Item] = [i for c in (CLAIM, TRIPOD) for i in c.items if i.topic.lower() in human]
    assert len(asked) == 7
    assert all(not item.facts and item.authors for item in asked)


def test_a_card_has_the_numbers_that_evaluate_wrote(documents: Path) -> None:
    cards = sorted((documents / "cards").glob("*.md"))
    board = pd.read_csv(documents.parent / "leaderboard.csv").query("kind == 'model'")
    assert {path.stem for path in cards} == set(board["key"])
    for path in cards:
        numbers = json.loads((documents.parents[1] / "evaluate" / path.stem / "metrics.json").read_text())["test"]
        text = path.read_text(encoding="utf-8")
        for label, name in {"AUROC": "auroc", "sensitivity": "sensitivity", "specificity": "specificity"}.items():
            value, low, high = (numbers[name][end] for end in ("value", "low", "high"))
            assert f"| {label} | {value:.3f} | {low:.3f}–{high:.3f} |" in text
        assert "Not a medical device" in text
        point = json.loads((documents.parents[1] / "evaluate" / path.stem / "metrics.json").read_text())
        threshold = point["operating_point"]["threshold"]
        assert f"is predicted where the score is above {threshold:.3f}, at Youden’s point" in text
        assert f"{point['calibration']['before']['ece']['value']:.3f} and " in text
        assert text.count("To be answered by the authors") == 3


def test_the_slides_hold_every_figure_and_stay_on_the_slide(documents: Path) -> None:
    slides = pptx.Presentation(documents / "slides.pptx")
    figures = list((documents.parent / "figures").glob("*.png"))
    pictures = [shape for slide in slides.slides for shape in slide.shapes if shape.shape_type == 13]
    assert len(pictures) == len(figures)
    for slide in slides.slides:
        assert slide.shapes.title.text_frame.text
        for shape in slide.shapes:
            assert 0 <= shape.left < shape.left + shape.width <= slides.slide_width
            assert 0 <= shape.top < shape.top + shape.height <= slides.slide_height
    table = next(shape.table for slide in slides.slides for shape in slide.shapes if shape.has_table)
    board = pd.read_csv(documents.parent / "leaderboard.csv").query("kind == 'model'")
    assert table.cell(1, 2).text.startswith(f"{board['auroc'].iloc[0]:.3f}")


def test_the_same_slides_are_the_same_bytes(documents: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slides = pptx.Presentation(documents / "slides.pptx")
    first = deck.dateless(slides)
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setattr("time.localtime", lambda *_: (2033, 5, 18, 3, 33, 20, 2, 138, 0))
    assert deck.dateless(slides) == first


def test_the_pdf_has_a_page_for_every_figure_and_no_date(documents: Path) -> None:
    content = (documents / "report.pdf").read_bytes()
    pages = len(re.findall(rb"/Type /Page\b(?!s)", content))
    assert pages >= 1 + len(list((documents.parent / "figures").glob("*.png")))
    assert b"CreationDate" not in content


def test_references_are_those_of_methods_that_were_used(documents: Path) -> None:
    keys = re.findall(r"^@\w+\{(\w+),$", (documents / "methods.bib").read_text(encoding="utf-8"), flags=re.M)
    assert set(keys) < set(entries())
    assert {"selvaraju2017gradcam", "newcombe2006", "kingma2015adam"} <= set(keys)
    assert {"delong1988", "mcnemar1947", "holm1979", "guo2017calibration", "sadinle2019lac"} <= set(keys)
    assert {"adebayo2018sanity", "petsiuk2018rise"} <= set(keys)
    assert not {"ronneberger2015unet", "roth2022patchcore", "he2016resnet"} & set(keys)
    assert not {"platt1999", "romano2020aps", "gal2016dropout", "zeiler2014occlusion"} & set(keys)


def test_the_checklist_says_what_was_done_beyond_the_metrics(documents: Path) -> None:
    text = (documents / "claim_2024.md").read_text(encoding="utf-8")
    for words in ("DeLong’s test", "Conformal sets", "shuffled weights", "temperature scaling"):
        assert words in text, words
    assert "is predicted above a threshold, at Youden’s point" in (documents / "tripod_ai.md").read_text("utf-8")


def test_a_card_has_a_sentence_for_every_verdict(documents: Path) -> None:
    board = pd.read_csv(documents.parent / "leaderboard.csv").query("kind == 'model'").set_index("key")
    verbs = {
        "better": "It is better than ",
        "worse": "It is worse than ",
        "not shown to differ": "It is not shown to differ from ",
    }
    for path in (documents / "cards").glob("*.md"):
        assert verbs[board.loc[path.stem, "floor_verdict"]] in path.read_text(encoding="utf-8")


@pytest.mark.usefixtures("blank_figures")
def test_documents_can_be_switched_off(project: Path, params: Callable[..., compare.Params]) -> None:
    compare.run(params(sample=["full"], strategy=["fine_tune"], samples=0), Job())
    assert list((project / "reports/compare/documents").iterdir()) == []
    assert 'id="documents"' not in (project / "reports/compare/index.html").read_text(encoding="utf-8")
