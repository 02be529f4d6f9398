"""Titles of figures, where they stand without the page around them."""

from __future__ import annotations

from ..numbers.comparison import Study
from ..numbers.questions import QUESTIONS

TITLES = {
    "data_efficiency": "How many training images",
    "intervals": "Every model with its interval",
    "gains": "Gain over the baseline",
    "above_floor": "Above what needs no network",
    "pareto": "Score against cost",
    **{f"question_{question.name}": question.title for question in QUESTIONS},
    "roc": "ROC curves on the test images",
    "precision_recall": "Precision–recall curves on the test images",
    "precision_recall_f1": "Precision, recall and F1",
    "confusion": "Confusion matrices on the test images",
    "reliability": "Probabilities before and after calibration",
    "decision_curves": "Net benefit over the threshold probability",
    "risk_coverage": "Errors among the most certain images",
    "cases": "Scores of every test image",
    "histograms": "Scores of normal images and of others",
    "samples": "The same test images, read by every model",
    "histories": "Training histories",
    "plans": "Which blocks learned when",
    "shortcuts": "Could it be a shortcut?",
    "shortcut_pictures": "What a shortcut would see",
}


def ordered(names: list[str]) -> list[str]:
    """Figures as they are shown: answers first, then those this table does not know, in their own order."""
    known = [name for name in TITLES if name in names]
    return known + [name for name in names if name not in TITLES]


def title(name: str, study: Study) -> str:
    if name == "gains":
        return f"Gain over {study.params.baseline}"
    words = name.replace("_", " ")
    return TITLES.get(name, words[:1].upper() + words[1:])
