"""A verdict in words. All three readers get the same: the terminal, a job's summary in Markdown, the page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..shared.core.words import count, points, table_row
from .read import CONFIDENCE, New
from .statistics.battery import Test
from .statistics.prevalence import Prevalence
from .verdict import ACQUISITION, MEDIUM, Findings

TITLES = {
    "none": "No drift shown",
    "prevalence": "Drift: prevalence",
    "acquisition": "Drift: acquisition",
    "population": "Drift: population",
    "unclear": "Drift, of a kind that cannot be named",
    "too_few": "Too few patients to say anything",
}
ABOUT = {
    "prevalence": "The classes have other shares than in the reference. Images of one class look as they did.",
    "acquisition": "Images are taken or processed differently: device, exposure, resolution or file format.",
    "population": "Images look different, but not in what the device decides: other patients, or findings that the "
    "model has not seen.",
    "unclear": "Something differs, but it is too little to tell in what.",
}
TEST_THEM = "Label a few patients of them, test the model on them, and train with them."
REMEDY = {
    "prevalence": "Look at the operating point: PPV and NPV follow the prevalence (evaluate.prevalence). How well the "
    "model ranks does not.",
    "acquisition": f"Look at some of the new images beside old ones. {TEST_THEM}",
    "population": f"Look at the images that are least like the reference. {TEST_THEM}",
    "unclear": "Collect more images and ask again.",
}

NONE = "–"  # in the place of a number that is not defined
NOT_IDENTIFIABLE = (
    "The prevalence is not identifiable: the model answers to images of one class as to those of another, or as to a "
    "mixture of others, so its answers do not say how many there are of each."
)


def title(findings: Findings) -> str:
    return TITLES[findings.name]


def paragraphs(findings: Findings, new: New, classes: Sequence[str], least: int) -> list[str]:
    """What it means, on what it rests, what to do."""
    if findings.whole is None:
        known = "" if new.patients_known else ", each counted as one since their patients are not known"
        patients = f"{count(new.sample.count, 'new patient')}{known}"
        return [f"{patients}; {least} are needed in each sample (drift.patients)."]
    if findings.name == "none":
        blind = findings.prevalence is not None and not findings.prevalence.known
        return [could_have_shown(findings), *([NOT_IDENTIFIABLE] if blind else []), *caveats(new)]
    parts = [ABOUT[findings.name]]
    shown = [change(test) for test in findings.evidence if test.kind == "fact"]
    if shown:
        alike = findings.alike is not None and set(findings.evidence) <= set(findings.alike.tests)
        where = " between images of equal classes" if alike else ""  # other numbers than those of all images
        parts.append(f"{f'What differs{where}' if findings.name != 'prevalence' else 'Also'}: {'; '.join(shown)}.")
    parts.append(of_prevalence(findings, classes))
    parts.append(REMEDY[findings.name])
    parts.append("Other images need not mean worse answers: only labels show that.")
    return [*(part for part in parts if part), *caveats(new)]


def could_have_shown(findings: Findings) -> str:
    """The power of this sample."""
    assert findings.whole is not None
    classifier, answers = findings.whole.test("classifier"), findings.whole.test("answers")
    assert classifier is not None
    assert answers is not None
    facts = [test for test in findings.whole.tests if test.kind == "fact" and test.name in ACQUISITION]
    parts = [f"one by which a classifier tells new images from old with an AUC of {classifier.smallest:.2f}"]
    if facts:
        worst = max(facts, key=lambda test: test.smallest)
        parts.append(f"a shift of {worst.name} by {worst.smallest:.1f} standard deviations")
    if findings.prevalence is not None and findings.prevalence.known:
        smallest = min(1.0, answers.smallest / findings.prevalence.resolution)
        parts.append(f"a prevalence that moved by {points(smallest)}")
    old, new = findings.whole.patients
    return (
        f"With {new} new patients and {old} of the reference, four of five changes would have been found that are as "
        f"large as these: {'; '.join(parts)}. Smaller ones may be there."
    )


def change(test: Test) -> str:
    if test.name == CONFIDENCE:
        return f"the model is {'surer' if test.effect > 0 else 'less sure'} ({moved(test)})"
    direction = "higher" if test.effect > 0 else "lower"
    small = "" if abs(test.effect) >= MEDIUM else ", which other patients may explain"
    return f"{test.name} is {direction} ({moved(test)}{small})"


def moved(test: Test) -> str:
    """A shift, in standard deviations of the reference; a fact that never varied there has none."""
    if not np.isfinite(test.effect):
        return "it never varied before"
    return f"{test.effect:+.1f} SD".replace("-", "−") if abs(test.effect) >= 0.05 else "0.0 SD"


def of_prevalence(findings: Findings, classes: Sequence[str]) -> str:
    own = findings.prevalence
    if own is None:
        return ""
    if not own.known:
        return NOT_IDENTIFIABLE
    shares = "; ".join(share(own, i, name) for i, name in enumerate(classes) if i or len(classes) > 2)
    if findings.name == "prevalence":
        return f"Estimated without labels: {shares}."
    return f"If the classes looked as before, their shares would be: {shares}. They do not, so this may be wrong."


def share(own: Prevalence, i: int, name: str) -> str:
    low, high = 100 * own.low[i], 100 * own.high[i]
    return (
        f"{name} {100 * own.estimate[i]:.0f}% of the patients ({low:.0f}–{high:.0f}%), "
        f"{100 * own.reference[i]:.0f}% in the reference"
    )


def caveats(new: New) -> list[str]:
    """What a reader has to know of the new images."""
    lines = []
    if not new.patients_known:
        lines.append(
            "Of some or all new images the patient is not known, and each of these counts as a patient: several images "
            "of one patient make a false alarm more likely."
        )
    if new.known:
        lines.append(f"Left out: {count(new.known, 'image')} of the study itself, or sent twice.")
    if new.others:
        images = count(new.others, "image")
        lines.append(f"Left out: {images} that another network answered; its features are other ones.")
    if new.unreadable:
        reasons = "; ".join(f"{count} × {reason}" for reason, count in sorted(new.unreadable.items()))
        lines.append(f"{count(sum(new.unreadable.values()), 'file')} cannot be read: {reasons}.")
    return lines


QUESTIONS = {
    "classifier": "Can a classifier tell new images from old?",
    "mmd": "Are the features distributed as before?",
    "answers": "Does the model answer as often with each class?",
}


def row(test: Test) -> dict[str, str]:
    """question, effect, smallest, p: for a table."""
    if test.kind == "classifier":
        own, least = f"AUC {test.effect:.2f} ({test.low:.2f}–{test.high:.2f})", f"AUC {test.smallest:.2f}"
    elif test.kind == "kernel":
        own, least = f"MMD² {test.effect:.3f}", f"MMD² {test.smallest:.3f}"
    elif test.kind == "answers":
        own, least = points(test.effect), points(test.smallest)
    else:
        own, least = moved(test), f"±{test.smallest:.1f} SD" if np.isfinite(test.effect) else NONE
    question = QUESTIONS.get(test.name, f"Is {test.name} distributed as before?")
    return {"question": question, "effect": own, "smallest": least, "p": p_text(test.adjusted)}


def p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def lines(findings: Findings, new: New, classes: Sequence[str], alpha: float, least: int) -> list[str]:
    """For a terminal."""
    text = [f"{title(findings)} in {new.source}."]
    text += paragraphs(findings, new, classes, least)
    if findings.whole is not None:
        rows = [(row(test), test.adjusted <= alpha) for test in findings.whole.tests]
        widths = [max(len(own[name]) for own, _ in rows) for name in ("question", "effect", "smallest")]
        for own, differs in rows:
            cells = [
                own[name].ljust(width) for name, width in zip(("question", "effect", "smallest"), widths, strict=True)
            ]
            mark, word = "!" if differs else " ", "from" if own["smallest"] != NONE else "    "
            text.append(f"  {mark} {cells[0]}  {cells[1]}  {word} {cells[2]}  p {own['p']}")
    return text


def markdown(findings: Findings, new: New, classes: Sequence[str], alpha: float, least: int) -> str:
    parts = [f"## {title(findings)}", "", f"About {new.source}.", ""]
    parts += [*(f"{text}\n" for text in paragraphs(findings, new, classes, least))]
    if findings.whole is not None:
        parts += ["| | question | found | smallest that would be found | p |", "|---|---|---|---|---|"]
        for test in findings.whole.tests:
            own = row(test)
            mark = "differs" if test.adjusted <= alpha else ""
            parts.append(table_row(mark, own["question"], own["effect"], own["smallest"], own["p"]))
    return "\n".join([*parts, ""])
