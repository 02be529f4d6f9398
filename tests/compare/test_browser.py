"""The page in a real browser: what it does under the hand, on a phone, in the dark and on paper."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.browser import BINARY, Tab, browser

pytestmark = pytest.mark.skipif(not BINARY, reason="needs `chromium` or `google-chrome` on the PATH")

CONTRAST = """
(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (css) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = (c) => { c /= 255; return c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4; };
  const luminance = ([r, g, b]) => .2126 * light(r) + .7152 * light(g) + .0722 * light(b);
  const behind = (one) => {
    for (let part = one; part; part = part.parentElement) {
      const style = getComputedStyle(part), colour = rgba(style.backgroundColor);
      if (colour[3] > 250) return colour;
    }
    return [255, 255, 255, 255];
  };
  const poor = [];
  for (const one of document.querySelectorAll("body *")) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !one.getClientRects().length || one.closest("script, style, header, details:not([open]) > :not(summary), option")) continue;
    const style = getComputedStyle(one);
    const ink = luminance(rgba(one.closest("svg") ? style.fill : style.color)), paper = luminance(behind(one));
    const ratio = (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05);
    if (ratio < (parseFloat(style.fontSize) >= 24 || one.closest("svg") ? 3 : 4.2)) poor.push(`${one.tagName} ${one.textContent.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return [...new Set(poor)];
})()
"""
WIDER = """
[...document.querySelectorAll("body *")].filter((one) => {
  const box = one.getBoundingClientRect();
  if (!box.width || box.right <= innerWidth + 1) return false;
  for (let part = one.parentElement; part; part = part.parentElement) if (getComputedStyle(part).overflowX !== "visible") return false;
  return true;
}).map((one) => `${one.tagName} ${one.className} ${one.textContent.trim().slice(0, 40)}`)
"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture(scope="module")
def page(compared: dict[str, Path]) -> Path:
    return compared["binary"] / "index.html"


def predictions(page: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Key -> is positive, score; of the test images."""
    found = {}
    for path in page.parents[1].glob("evaluate/*/predictions.parquet"):
        table = pd.read_parquet(path).query("split == 'test'")
        found[path.parent.name] = (table["label"] == "pneumonia").to_numpy(), table["prob_pneumonia"].to_numpy()
    return found


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_the_page_without_scrolling_sideways_and_without_errors(tab: Tab, page: Path, dark: bool) -> None:
    tab.open(page, 390, 844, dark)
    tab.run("document.querySelectorAll('main details').forEach((part) => { part.open = true; })")
    assert tab.run(WIDER) == []
    assert tab.run("document.documentElement.scrollWidth") == 390
    assert tab.complaints == []


@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_told_from_what_is_behind_it(tab: Tab, page: Path, dark: bool) -> None:
    tab.open(page, 1400, 900, dark)
    assert tab.run(CONTRAST) == []


def test_the_slider_moves_the_counts_of_every_model(tab: Tab, page: Path) -> None:
    tab.open(page, 1400, 900)
    read = "[...document.querySelectorAll('#slider-table tbody tr')].map((row) => [row.dataset.key, ...[...row.cells].slice(1).map((cell) => cell.textContent)])"
    start, grid = tab.run(read), tab.run("JSON.parse(document.querySelector('#slider-data').textContent).grid")
    answers = predictions(page)
    assert {row[0] for row in start} == set(answers)
    for place in (0, 7, len(grid) // 3, len(grid) - 1):
        tab.run(
            f"{{ const at = document.querySelector('#slider-at'); at.value = {place}; at.dispatchEvent(new Event('input')); }}"
        )
        for key, threshold, *cells in tab.run(read):
            positive, score = answers[key]
            called = score > float(threshold)
            tp, fn, fp, tn = ((called == c)[positive == p].sum() for c, p in ((1, 1), (0, 1), (1, 0), (0, 0)))
            rates = [
                tp / (tp + fn),
                tn / (tn + fp),
                tp / (tp + fp) if tp + fp else None,
                tn / (tn + fn) if tn + fn else None,
            ]
            assert cells == [f"{n}" for n in (tp, fn, fp, tn)] + ["–" if r is None else f"{r:.3f}" for r in rates]
    tab.run("document.querySelector('#slider-at').focus()")
    before = tab.run("document.querySelector('#slider-value').textContent")
    tab.press("ArrowLeft")
    assert float(tab.run("document.querySelector('#slider-value').textContent")) < float(before)
    tab.run("document.querySelector('#slider-back').click()")
    assert tab.run(read) == start


def test_ppv_follows_the_prevalence_by_bayes(tab: Tab, page: Path) -> None:
    tab.open(page, 1400, 900)
    tab.run(
        "{ const share = document.querySelector('#slider-share'); share.value = 5; share.dispatchEvent(new Event('input')); }"
    )
    row = tab.run(
        "[...document.querySelector('#slider-table tbody tr').cells].slice(2).map((cell) => Number(cell.textContent))"
    )
    tp, fn, fp, tn = row[:4]
    sensitivity, specificity = tp / (tp + fn), tn / (tn + fp)
    assert row[6] == pytest.approx(0.05 * sensitivity / (0.05 * sensitivity + 0.95 * (1 - specificity)), abs=6e-4)
    assert row[7] == pytest.approx(0.95 * specificity / (0.95 * specificity + 0.05 * (1 - sensitivity)), abs=6e-4)


def test_the_pointer_reads_epochs_and_values_off_a_history(tab: Tab, page: Path) -> None:
    tab.open(page, 1400, 900)
    key = tab.run("document.querySelector('details.model').id")
    history = pd.read_csv(page.parents[1] / "train" / key / "history.csv")
    tab.run(f"document.querySelector('[data-name=\"card-{key}\"]').focus()")
    texts = []
    for _ in range(3):
        tab.press("ArrowRight")
        texts.append(tab.run("document.querySelector('.reading').textContent"))
    for epoch, text in enumerate(texts, start=1):
        name, value = text.split("epoch ")
        assert name == "training loss"
        assert value == f"{epoch}, {float(f'{history.train_loss[epoch - 1]:.3g}'):g}"


def test_a_point_of_a_roc_curve_has_its_threshold(tab: Tab, page: Path) -> None:
    tab.open(page, 1400, 900)
    tab.run("document.querySelector('[data-name=roc]').focus()")
    for _ in range(12):
        tab.press("ArrowRight")
    text = tab.run("document.querySelector('.reading').textContent")
    key = tab.run("JSON.parse(document.querySelector('[data-name=roc]').dataset.axes)[0].lines[0].id").removeprefix(
        "roc-"
    )
    fpr, tpr, threshold = (float(part.split()[-1]) for part in text.split("specificity")[1].split(","))
    positive, score = predictions(page)[key]
    called = score > threshold
    assert abs(called[~positive].mean() - fpr) + abs(called[positive].mean() - tpr) < 0.06


def test_images_and_figures_enlarge_and_esc_closes(tab: Tab, page: Path) -> None:
    tab.open(page, 1400, 900)
    tab.run("document.querySelector('main img.image').focus()")
    tab.press("Enter")
    assert tab.run("document.querySelector('#zoom').open && document.querySelectorAll('#zoom img').length") == 1
    first = tab.run("document.querySelector('#zoom p').textContent")
    tab.press("ArrowRight")
    assert tab.run("document.querySelector('#zoom p').textContent") != first
    tab.press("Escape")
    assert tab.run("document.querySelector('#zoom').open") is False
    place = "[...document.querySelectorAll('main svg.plot')].map((one) => one.dataset.name)"
    order = tab.run(place)
    tab.run("document.querySelector('[aria-label=\"Enlarge the figure roc\"]').click()")
    assert tab.run("document.querySelectorAll('#zoom svg[data-name=roc]').length") == 1
    tab.press("Escape")
    assert tab.run(place) == order
    assert tab.complaints == []


def test_the_leaderboard_downloads_with_the_numbers_of_its_file(tab: Tab, page: Path) -> None:
    tab.open(page, 1400, 900)
    text = tab.run("""new Promise((resolve) => {
      URL.createObjectURL = (blob) => { resolve(blob.text()); return "#"; };
      document.querySelector('[aria-label="Save the table leaderboard as CSV"]').click();
    })""")
    rows = list(csv.DictReader(io.StringIO(text)))
    board = pd.read_csv(page.parent / "leaderboard.csv")
    board = board[~board["key"].str.contains(r"\+knn")]
    assert len(rows) == len(board)
    assert [float(row["AUROC"]) for row in rows] == pytest.approx(board["auroc"].tolist(), abs=1e-5)
    assert [float(row["AUROC low"]) for row in rows] == pytest.approx(board["auroc_low"].tolist(), abs=6e-4)


def test_a_figure_downloads_as_a_drawing_without_variables(tab: Tab, page: Path) -> None:
    tab.open(page, 1400, 900, dark=True)
    text = tab.run("""new Promise((resolve) => {
      URL.createObjectURL = (blob) => { resolve(blob.text()); return "#"; };
      document.querySelector('[aria-label="Save the figure roc as SVG"]').click();
    })""")
    assert text.startswith("<svg")
    assert "var(" not in text
    assert "#1b2026" in text  # ink on paper, also from a dark page
    size = tab.run("""new Promise((resolve) => {
      URL.createObjectURL = (blob) => { resolve(createImageBitmap(blob).then((image) => [image.width, image.height])); return "#"; };
      document.querySelector('[aria-label="Save the figure roc as PNG"]').click();
    })""")
    assert size[0] > 900
    assert size[1] > 800


def test_films_are_filtered_by_outcome_and_model(tab: Tab, page: Path) -> None:
    tab.open(page, 1400, 900)
    seen = "[...document.querySelectorAll('#models .case')].filter((film) => film.getClientRects().length).map((film) => film.textContent)"
    choose = "{{ const choice = document.querySelector('#films-{}'); choice.value = '{}'; choice.dispatchEvent(new Event('change', {{ bubbles: true }})); }}"
    cases = {p.parent.name: json.loads(p.read_text()) for p in page.parents[1].glob("explain/*/cases.json")}
    alarms = [c for own in cases.values() for c in own if c["label"] == "normal" and not c["correct"]]
    tab.run(choose.format("outcome", "FP"))
    assert len(tab.run(seen)) == len(alarms) > 0
    assert tab.run("document.querySelector('#films-count').textContent") == f"{len(alarms)} films"
    tab.run(choose.format("outcome", ""))
    key = sorted(cases)[0]
    tab.run(choose.format("model", key))
    assert len(tab.run(seen)) == len(cases[key])
    tab.run("document.querySelector('#films-all').click()")
    assert tab.run("document.querySelectorAll('#models details.model[hidden]').length") == 0


def test_everything_that_can_be_used_has_a_name(tab: Tab, page: Path) -> None:
    tab.open(page, 1400, 900)
    tab.run("document.querySelectorAll('main details').forEach((part) => { part.open = true; })")
    nodes = tab.send("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "link", "combobox", "slider", "spinbutton", "image", "table", "region", "dialog", "navigation"}
    used = [n for n in nodes if not n["ignored"] and n["role"]["value"] in roles - {"table"}]
    assert len(used) > 100
    assert [n["role"]["value"] for n in used if not n.get("name", {}).get("value", "").strip()] == []


def test_contents_open_by_key_and_a_link_leads_and_closes(tab: Tab, page: Path) -> None:
    tab.open(page, 390, 844)
    tab.run("document.querySelectorAll('nav summary')[1].focus()")
    tab.press("Enter")
    assert tab.run("document.querySelectorAll('nav details[open]').length") == 1
    tab.press("Escape")
    assert tab.run("document.querySelectorAll('nav details[open]').length") == 0
    tab.run(
        "document.querySelectorAll('nav summary')[1].click(); document.querySelector('nav a[href=\"#leaderboard\"]').click()"
    )
    assert tab.run("document.querySelectorAll('nav details[open]').length") == 0
    top = tab.run(
        "new Promise((r) => setTimeout(() => r(document.querySelector('#leaderboard h2').getBoundingClientRect().top), 200))"
    )
    assert 30 < top < 160  # below the contents, which stay
    assert tab.run("document.querySelector('nav summary.at').textContent") == "Results"


def test_the_page_prints(tab: Tab, page: Path) -> None:
    tab.open(page, 1400, 900)
    pdf = base64.b64decode(tab.send("Page.printToPDF", printBackground=False)["data"])
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") + pdf.count(b"/Type /Page/") > 3
