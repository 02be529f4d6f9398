"""Tab: one image -> answer, heat map, similar cases, and what another threshold would mean."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from html import escape

import numpy as np
import streamlit as st

from ...shared.core.errors import UserError
from ...shared.exported.decision import Point
from ...shared.images.archive import Archive
from ...shared.images.decode import UnreadableImage
from .. import heat
from ..service import Answer
from . import pictures, thresholds, words
from .examples import Example
from .reader import Reader, Reading

SIMILAR = 6
THUMBNAIL = 72  # px
BINS = 20


@dataclass(frozen=True)
class Source:
    """data: the bytes of a file. label: of an example, what the study says it is."""

    data: bytes
    title: str
    label: str | None = None


def show(reader: Reader, archive: Archive) -> None:
    source = choose(reader, archive)
    if source is None:
        return
    try:
        reading = read(reader, source.data)
    except UserError as error:
        st.error(readable(error), icon=":material/broken_image:")
        return
    film, text = st.columns([5, 6], gap="large")
    with film:
        show_film(reader, reading, source)
    with text:
        show_answer(reader, reading.answer, source)
    show_similar(reader, reading.answer)
    show_threshold(reader, reading.answer)


def readable(error: UserError) -> str:
    """Without the name of a file, which may name a patient."""
    if isinstance(error, UnreadableImage):
        return f"This image cannot be read: {error.reason}."
    return f"This image cannot be read. {error}"


def read(reader: Reader, data: bytes) -> Reading:
    """The last one stays with the session, since every move of a slider runs the page again."""
    key = (reader.state, hashlib.sha256(data).hexdigest())
    if "reading" not in st.session_state or st.session_state["reading"][0] != key:
        st.session_state["reading"] = key, reader.read(data)
    reading: Reading = st.session_state["reading"][1]
    return reading


def choose(reader: Reader, archive: Archive) -> Source | None:
    """An upload, or the example that was chosen last; at first the first one."""
    state = st.session_state
    state.setdefault("uploads", 0)  # a file uploader under another name is an empty one
    left, right = st.columns([5, 6], gap="large") if reader.examples else (st.container(), None)
    with left:
        upload = st.file_uploader("PNG, JPEG, TIFF, BMP or DICOM; not stored", key=f"upload_{state['uploads']}")
    if right is None:
        return None if upload is None else Source(upload.getvalue(), "Your image")
    with right:
        chosen = show_examples(reader, archive)
    if chosen is not None:
        state["example"], state["uploads"] = chosen, state["uploads"] + 1
        st.rerun()
    if upload is not None:
        return Source(upload.getvalue(), "Your image")
    number = min(state.get("example", 0), len(reader.examples) - 1)
    example = reader.examples[number]
    return Source(example.read(archive), f"Example {number + 1}, as a {example.kind} file", example.label)


def show_examples(reader: Reader, archive: Archive) -> int | None:
    """The example that was clicked just now."""
    drawn = "drawn by a program, " if reader.synthetic else ""
    st.html(
        f'<div class="lb small">Or a test image of this study, {drawn}of a patient the model never learned from</div>'
    )
    with st.container(horizontal=True, gap="small"):
        clicks = []
        for i, example in enumerate(reader.examples):
            with st.container(width=THUMBNAIL, gap="xsmall"):
                st.image(thumbnail(example, archive), width="stretch")
                clicks.append(st.button(example.kind, key=f"example_{i}", width="stretch"))
    return clicks.index(True) if True in clicks else None


@st.cache_data(max_entries=64, show_spinner=False)
def thumbnail(example: Example, _archive: Archive) -> np.ndarray:
    from ...shared.images.decode import decode

    image = decode(_archive.read(example.path), example.path).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)).resize((2 * THUMBNAIL, 2 * THUMBNAIL)))


def show_film(reader: Reader, reading: Reading, source: Source) -> None:
    classes, film, predicted = reader.export.classes, reading.film, reading.answer.decision.predicted
    place = st.empty()
    if reading.answer.maps is None:
        place.image(heat.overlay(film, np.zeros(film.shape[:2])), width="stretch")
        st.caption("No heat map: the last part of this network is not linear. `reports/explain` has maps of its own.")
        return
    opacity = st.slider("Heat map", 0, 100, 55, format="%d%%", key="opacity")
    name = st.segmented_control("What speaks for", classes, default=predicted, key=f"heat_{predicted}") or predicted
    own = reader.heat(reading, classes.index(name))
    assert own is not None
    place.image(heat.overlay(film, own, opacity / 100), width="stretch")
    height, width = reading.seen.shape[:2]
    nothing = "" if own.any() else " Nothing in this image does."
    st.html(
        f'<div class="lb small">{source.title}. Bright: what speaks most for {escape(name)}.{nothing} The model sees '
        f"{width} × {height} pixels. A heat map is a hint, not an outline.</div>"
    )
    checks = reader.export.rules.heat_maps
    if checks.misleading:
        st.warning(checks.sentence, icon=":material/visibility_off:")
    else:
        st.html(f'<div class="lb small">{escape(checks.sentence)}</div>')


def show_answer(reader: Reader, answer: Answer, source: Source) -> None:
    rules, decision, classes = reader.export.rules, answer.decision, reader.export.classes
    calls = " ".join(gauge(reader, answer, k) for k in range(len(classes)) if len(classes) > 2 or k == 1)
    name = rules.positive or decision.predicted
    k = classes.index(name)
    curve = rules.curves["test"].get(name)
    near = thresholds.near(curve, float(answer.probabilities[k])) if curve else None
    facts = {
        "Cannot be ruled out": words.prediction_set(decision.prediction_set, classes, rules.conformal.coverage),
        "Sure enough?": words.abstention(decision.abstain, rules.abstention.share),
    }
    if source.label is not None:
        agrees = source.label == decision.predicted
        facts["The study says"] = f"{source.label}. {'The model agrees.' if agrees else 'The model is wrong here.'}"
    eyebrow = "At the operating point" if rules.positive else "Most probable class"
    st.html(
        f'<div class="lb"><p class="eyebrow">{eyebrow}</p>'
        f'<p class="headline">{escape(decision.predicted)}</p>'
        f'<p class="reading">{escape(answer.reading)}</p>{calls}'
        f'<p class="small">{escape(words.meaning(name, float(answer.probabilities[k]), near))}</p>'
        f"{definitions(facts)}</div>"
    )


def gauge(reader: Reader, answer: Answer, k: int) -> str:
    name, probability = reader.export.classes[k], float(answer.probabilities[k])
    point: Point | None = reader.export.rules.points.get(name)
    at = point.calibrated if point else None
    mark = "" if at is None else f"<span>threshold {100 * at:.0f}%</span>"
    return (
        f'<div class="row"><span>Probability of {escape(name)}: <strong>{words.percent(probability)}</strong></span>'
        f"{mark}</div>{pictures.gauge(probability, at)}"
    )


def definitions(facts: dict[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items()) + "</dl>"


def show_similar(reader: Reader, answer: Answer) -> None:
    st.subheader("Similar cases", anchor=False)
    cases = reader.similar_to(answer, SIMILAR)
    labels = words.neighbours([case.label for case in cases])
    st.html(f'<div class="lb small">The training images that the model takes to be most alike: {escape(labels)}</div>')
    with st.container(horizontal=True, gap="small"):
        for case in cases:
            with st.container(width=THUMBNAIL + 60, gap="xsmall"):
                if case.picture is not None:
                    st.image(case.picture.repeat(3 // case.picture.shape[2], axis=2), width="stretch")
                st.html(f'<div class="lb small">{escape(case.label)}<br>likeness {case.cosine:.2f}</div>')
    if any(case.picture is None for case in cases):
        st.caption("The images of that study are not on this machine, or have changed since: only labels are known.")


def show_threshold(reader: Reader, answer: Answer) -> None:
    rules, classes = reader.export.rules, reader.export.classes
    st.subheader("Another threshold", anchor=False)
    names = list(rules.curves["test"])
    name = names[0] if len(names) == 1 else st.segmented_control("Class", names, default=names[0]) or names[0]
    point = rules.points[name]
    chosen = point.calibrated if point.calibrated is not None else 0.5
    percent = st.slider(
        f"Call {name} above a probability of",
        0,
        100,
        round(100 * chosen),
        format="%d%%",
        key=f"threshold_{name}_{reader.version}",
    )
    threshold, probability = percent / 100, float(answer.probabilities[classes.index(name)])
    above, below = thresholds.bins(rules.curves["test"][name], BINS)
    others = f"no {name}" if len(classes) > 2 else classes[0]
    about = f"Test images by probability: {name} above the line, {others} below it."
    drawing = pictures.histogram(above, below, threshold, probability, escape(about))
    rows = {}
    for split in ("test", "validation"):
        rates = thresholds.at(rules.curves[split][name], threshold)
        rows[f"On {split} images"] = (
            f"finds {words.count(rates.sensitivity)} of {name}; "
            f"no false alarm on {words.count(rates.specificity)} of {others}"
        )
    rows["This image"] = f"{'above' if probability > threshold else 'not above'}: {words.percent(probability)}"
    rows["Validation chose"] = (
        f"{100 * chosen:.1f}%. On test patients that has sensitivity {words.estimate(point.test['sensitivity'])} and "
        f"specificity {words.estimate(point.test['specificity'])} ({100 * rules.tested_on.confidence:g}% intervals). "
        "This slider changes only what you see here."
    )
    st.html(
        f'<div class="lb">{drawing}<p class="small">{escape(about)} '
        f"Orange: on the wrong side of the threshold. The triangle is this image.</p>{definitions(rows)}</div>"
    )
