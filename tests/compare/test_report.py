from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages import compare
from stages.compare.numbers import dataset
from stages.shared.core.job import Job
from stages.shared.measures.judge import Resampling

from .evaluations import write_evaluation

FETCHED = {"src", "href", "srcset", "poster", "action", "data", "background", "xlink:href"}
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Links, ids, text and nesting of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links, self.ids, self.images, self.tags = [], [], [], []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.links += [(tag, name, value) for name, value in attrs if name in FETCHED]
        self.ids += [values["id"]] if "id" in values else []
        self.images += [values] if tag == "img" else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text += data


@pytest.fixture(scope="session", params=["binary", "three"])
def html(request: pytest.FixtureRequest, compared: dict[str, Path]) -> str:
    return (compared[request.param] / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="session", params=["binary", "three", "repeats"])
def any_html(request: pytest.FixtureRequest, compared: dict[str, Path], repeats: Path) -> str:
    folder = compared.get(request.param, repeats / "reports/compare")
    return (folder / "index.html").read_text(encoding="utf-8")


def test_the_page_fetches_nothing(any_html: str) -> None:
    html = any_html
    for tag, name, value in Page(html).links:
        assert value.startswith(("#", "data:")), f"{tag} {name}={value[:60]}"
    assert not re.search(r"https?://|file:|@import|//cdn", html)
    assert all(target.startswith(("#", "data:")) for target in re.findall(r"url\(([^)]*)\)", html))


def test_the_page_is_well_formed_and_every_anchor_leads_somewhere(any_html: str) -> None:
    html = any_html
    page = Page(html)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    anchors = {value[1:] for _, _, value in page.links if value.startswith("#")}
    anchors |= set(re.findall(r"url\(#([^)]*)\)", html))
    assert anchors <= set(page.ids)


def test_every_picture_has_a_description_unless_it_is_decoration(any_html: str) -> None:
    html = any_html
    images = Page(html).images
    assert all("alt" in image for image in images)
    assert sum(image["alt"] == "" for image in images) <= 6  # the films of the header
    drawings = re.findall(r"<svg [^>]*>", html)
    assert drawings
    assert all("aria-label=" in drawing or "aria-hidden=" in drawing for drawing in drawings)


def test_the_page_stays_small(any_html: str) -> None:
    html = any_html
    assert len(html.encode()) < 8e6


def test_the_page_says_what_a_careful_reader_asks(any_html: str) -> None:
    html = any_html
    text = Page(html).text
    for words in (
        "not for clinical use",
        "No patient and no group of duplicates that the validate stage found is in more than one split",
        "What is in more than one part",
        "files with the same bytes",
        "Before and after",
        "95% interval",
        "Chosen on validation",
        "Limitations",
        "no external data",
        "commit",
        "Settings that all models share",
        "tie",
    ):
        assert words in text


def test_the_page_has_every_model_once_with_its_gallery(html: str) -> None:
    assert len(re.findall(r'<details class="model"', html)) == int(re.search(r"(\d) models compared", html)[1])
    models = html.partition('<section id="models"')[2]
    assert models.count('<figure class="case">') == models.count("Heat map of the same image") > 0


def test_the_page_shows_the_surest_errors_of_the_model_that_validation_chose(
    compared: dict[str, Path], projects: dict[str, Path]
) -> None:
    board = pd.read_csv(compared["binary"] / "leaderboard.csv")
    (key,) = board.loc[board["chosen"], "key"]
    table = pd.read_parquet(projects["binary"] / "reports/evaluate" / key / "predictions.parquet")
    wrong = table[(table["split"] == "test") & (table["predicted"].astype(str) != table["label"].astype(str))]
    confidence = wrong["prob_normal"].where(wrong["predicted"] == "normal", wrong["prob_pneumonia"])
    surest = wrong.assign(confidence=confidence).sort_values("confidence", ascending=False)[:12]
    page = (compared["binary"] / "index.html").read_text(encoding="utf-8")
    (section,) = re.findall(r'<section id="failures">.*?</section>', page, re.DOTALL)
    assert re.findall(r'class="where">([^<]+)<', section) == list(surest["path"])
    assert f"<b>{key}</b>" in section
    assert f"wrong about {len(wrong)} of {(table['split'] == 'test').sum()} test images" in section
    assert section.count('class="reminders"') == len(surest)
    assert '<a href="#failures">' in page


def test_repeats_have_a_section_with_their_means_and_fold_the_long_leaderboard(repeats: Path) -> None:
    html = (repeats / "reports/compare/index.html").read_text()
    text = " ".join(Page(html).text.split())
    section = re.search(r'<section id="seeds">.*?</section>', html, flags=re.S)[0]
    assert section.count("<tr") == 1 + 12
    assert "Does transfer help, and with how few images?" in text
    assert "Few seeds that differ make it wide" in " ".join(Page(section).text.split())
    assert "training images (4 a class; 3 seeds)" in text
    assert "All 36 rows" in text
    assert len(re.findall(r'<details class="model"', html)) == 12
    assert "12 of the 36 models: of repeats the first seed" in text
    assert "predictions.parquet" in html
    assert html.count("predictions.parquet ") == 36  # every model is in the provenance


def test_a_study_without_repeats_does_not_speak_of_seeds(html: str) -> None:
    assert 'id="seeds"' not in html
    text = Page(html).text
    assert "Which of these models reads the images best?" in text
    assert "Does transfer help" not in text
    assert "Means over seeds" not in html
    assert '<details class="rest"' not in html


def test_names_from_the_data_are_text_never_markup(
    tmp_path: Path,
    params: Callable[..., compare.Params],
    fabricated: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    classes = ["<b>normal</b>", 'x$\\frac$ & "y" <script>alert(1)</script>']
    monkeypatch.chdir(fabricated(tmp_path, classes, patients=60))
    monkeypatch.setenv("LIGHTBOX_DEFER_SUMMARY", "1")
    compare.run(params(title="A < B & C", sample=["full"], strategy=["fine_tune"]), Job())
    html = (tmp_path / "reports/compare/index.html").read_text(encoding="utf-8")
    page = Page(html)
    assert page.tags.count("script") == 4  # the code, and data: of the map, of the slider, the colours of figures
    assert "<b>normal" not in html
    assert "<script>alert" not in html
    assert classes[0] in page.text
    assert classes[1] in page.text
    assert "A < B & C" in page.text


@pytest.mark.usefixtures("blank_figures")
def test_the_page_has_scores_of_each_site_and_what_a_split_could_not_meet(
    project: Path, params: Callable[..., compare.Params]
) -> None:
    path, card = project / "data/processed/index.parquet", project / "reports/preprocess/split.json"
    index = pd.read_parquet(path)
    index.assign(site=np.where(index["group"] % 8 < 4, "east", "west")).to_parquet(path)
    content = json.loads(card.read_text())
    moved = {"images": 7, "groups": 2, "first": []}
    card.write_text(
        json.dumps({**content, "moved": moved, "unmet": ["fold 1: 3 images; an even split would give it 9"]})
    )
    steps = [
        {
            "step": "CropLargestContour",
            "reason": "no contour",
            "images": 2,
            "of": 90,
            "classes": {"normal": 2},
            "first": [],
        }
    ]
    (project / "reports/preprocess/steps.json").write_text(json.dumps(steps))
    for summary in (project / "reports/train").glob("*-full/summary.json"):
        values = json.loads(summary.read_text())
        values["sample"] = {**values["sample"], "leave_out": "west"}
        summary.write_text(json.dumps(values))
    compare.run(params(sample=["full"], strategy=["fine_tune"], samples=0), Job())
    text = " ".join(Page((project / "reports/compare/index.html").read_text()).text.split())
    assert "all but west" in text
    assert text.count("never seen") == 1
    assert "divides 2 groups" in text
    assert "7 images changed the part" in text
    assert "fold 1: 3 images; an even split would give it 9." in text
    assert "CropLargestContour left 2 of 90 images as they were: no contour (normal 2)." in text


@pytest.mark.usefixtures("blank_figures")
def test_the_page_warns_of_a_patient_in_two_splits(project: Path, params: Callable[..., compare.Params]) -> None:
    path = project / "data/processed/index.parquet"
    index = pd.read_parquet(path)
    patient = index.patient.value_counts().index[0]
    index.loc[index.index[index.patient == patient][0], "split"] = "train"
    index.loc[index.index[index.patient == patient][1], "split"] = "test"
    index.to_parquet(path)
    compare.run(params(sample=["full"], strategy=["fine_tune"], samples=0), Job())
    text = Page((project / "reports/compare/index.html").read_text()).text
    assert "1 patient in more than one split" in text
    assert "No patient and no group" not in text


@pytest.mark.usefixtures("blank_figures")
def test_a_title_from_params_replaces_the_question_and_a_note_stands_on_the_first_screen(
    project: Path, params: Callable[..., compare.Params]
) -> None:
    note = "Children <of one hospital>"
    compare.run(params(title="Kermany, 128 px", note=note, strategy=["fine_tune"], samples=0), Job())
    page = (project / "reports/compare/index.html").read_text()
    text = Page(page).text
    assert "Kermany, 128 px" in text
    assert "Which of these models" not in text
    first_screen = page.partition("</header>")[0]
    assert "<li>Children &lt;of one hospital&gt;</li>" in first_screen


@pytest.mark.usefixtures("blank_figures")
def test_missing_models_are_named_at_the_top_with_the_command_and_in_the_table(
    project: Path, params: Callable[..., compare.Params]
) -> None:
    (project / "reports/evaluate/small_cnn-fine_tune-full/metrics.json").unlink()
    compare.run(params(samples=0), Job())
    html = (project / "reports/compare/index.html").read_text()
    notice = html.index("1 of the 6 models that")
    assert html.index("<main") < notice < html.index('id="answer"')
    assert "dvc repro evaluate@small_cnn-fine_tune-full" in html
    rows = re.findall(r'<tr class="absent">.*?</tr>', html, flags=re.S)
    assert len(rows) == 1
    assert "fine_tune" in rows[0]
    assert not re.search(r"\d", rows[0].replace('scope="row"', ""))
    header = re.search(r'<table class="sortable.*?</thead>', html, flags=re.S)[0]
    assert len(re.findall(r"<t[dh][ >]", rows[0])) == len(re.findall(r"<th[ >]", header))


def test_a_complete_comparison_speaks_of_nothing_missing(compared: dict[str, Path]) -> None:
    html = (compared["binary"] / "index.html").read_text()
    models = re.sub(r'<section id="documents">.*?</section>', "", html, flags=re.S)  # checklists ask about missing data
    assert "missing" not in Page(models).text


@pytest.mark.usefixtures("blank_figures")
def test_what_the_data_say_of_themselves_is_on_the_first_screen(
    project: Path, params: Callable[..., compare.Params]
) -> None:
    path = project / "reports/validate/validation.json"
    facts = {"phantom": {"findings": ["normal", "haze"]}, "patients_known": False}
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    (project / "models/pretrained").mkdir(parents=True)
    weights = {"classes": ["haze", "nodule"], "source": "phantom"}
    (project / "models/pretrained/small_cnn.json").write_text(json.dumps(weights))
    compare.run(params(samples=0), Job())
    html = (project / "reports/compare/index.html").read_text()
    first_screen = " ".join(Page(html[: html.index("<nav")] + "</body></html>").text.split())
    assert "a program drew them" in first_screen
    assert "small_cnn.safetensors were trained to tell haze and nodule apart" in first_screen
    assert "haze is a finding of this study as well" in first_screen
    assert "every image counts as a patient" in first_screen
    assert '<th scope="row" class="l">patients</th>' not in html


@pytest.mark.usefixtures("blank_figures")
def test_a_mark_that_is_on_no_row_is_not_explained(any_html: str) -> None:
    section = re.search(r'<section id="leaderboard">.*?</section>', any_html, flags=re.S)[0]
    table, note = section.split("</table>")
    for mark, explanation in (("one class:", "“One class”"), (">chosen<", "“Chosen”"), ("+knn", "+knn")):
        assert (mark in table) == (explanation in note), mark
    assert ('class="tie"' in table) == ("it is a tie" in section)


def test_images_without_the_masks_that_a_task_needs_are_counted_apart() -> None:
    index = pd.DataFrame(
        {"label": ["a", "a", "b", "b", "b"], "split": ["train", "test", "train", "train", "test"], "group": range(5),
         "patient": list("vwxyz"), "has_mask": [True, True, True, False, False]}
    )  # fmt: skip
    counts = dataset.count(index, ["a", "b"], masks=True)
    assert counts.rows == (("a", [1, 1], 2), ("b", [1, 0], 1))
    assert (counts.images, counts.patients, counts.all_images, counts.all_patients) == ([2, 1], [2, 1], 3, 3)
    assert counts.unannotated == [1, 1]
    whole = dataset.count(index, ["a", "b"])
    assert (whole.images, whole.unannotated) == ([3, 2], [])


def test_a_winner_that_calls_all_images_one_class_is_marked(
    project: Path, params: Callable[..., compare.Params], without_floors: None
) -> None:
    for folder in (project / "reports/evaluate").iterdir():  # scores keep their order, so AUROC stays
        table = pd.read_parquet(folder / "predictions.parquet")
        table["prob_pneumonia"] /= 2.5
        table["prob_normal"] = 1 - table.prob_pneumonia
        table["predicted"] = "normal"
        write_evaluation(folder, table, Resampling(100, 0.95, seed=0))
    compare.run(params(samples=0), Job())
    text = " ".join(Page((project / "reports/compare/index.html").read_text()).text.split())
    assert "6 of 6 models predict one class for nearly all test images; the first of the leaderboard is one" in text
    assert text.count("one class: normal") == 6
    assert "predicts “normal” for 100% of the test images" in text


def test_the_settings_that_models_share_and_where_they_were_trained_are_on_the_page(compared: dict[str, Path]) -> None:
    html = (compared["binary"] / "index.html").read_text()
    study = html[html.index('<section id="study">') :]
    assert "<dt>epochs</dt><dd>12</dd>" in study
    assert "<dt>optimizer.name</dt>" in study
    assert "<dt>strategy.plan</dt>" not in study  # the models differ in it
    assert study.count("strategy.plan: &#34;fine_tune&#34;") == 2
    assert f"<dt>torch</dt><dd>{version('torch')}</dd>" in study
    assert re.search(r"<dt>commit</dt><dd>([0-9a-f]{40}( with uncommitted changes)?|unknown)</dd>", study)
