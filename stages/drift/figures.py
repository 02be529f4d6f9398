"""What the page shows: facts of both samples, how well they are told apart, the shares of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..shared.figures import style
from .statistics.battery import Comparison
from .statistics.prevalence import Prevalence
from .statistics.sample import Sample

OLD, NEW = "#7b838c", style.BAD


def facts(reference: Sample, new: Sample, comparison: Comparison, path: Path) -> Path:
    """The share of patients' images below each value, one panel for each fact."""
    tests = [test for test in comparison.tests if test.kind == "fact"]
    columns = min(3, len(tests))
    rows = -(-len(tests) // columns)
    fig, axes = style.figure(3.1 * columns, 2.2 * rows, rows, columns)
    for axis in axes.flat[len(tests) :]:
        axis.set_axis_off()
    for axis, test in zip(axes.flat, tests, strict=False):
        for sample, colour, label in ((reference, OLD, "reference"), (new, NEW, "new")):
            values, shares = cumulative(sample.facts[test.name], sample.patients)
            axis.step(values, shares, where="post", color=colour, label=label)
        axis.set_title(test.name)
        axis.set_ylim(0, 1)
    axes[0, 0].set_ylabel("share of the patients below")
    axes[0, 0].legend(loc="lower right")
    return style.save(fig, path)


def cumulative(values: np.ndarray, patients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distribution function; each patient counts once."""
    _, of_image, sizes = np.unique(patients, return_inverse=True, return_counts=True)
    order = np.argsort(values)
    return values[order], (1 / sizes[of_image])[order].cumsum() / len(sizes)


def separation(comparison: Comparison, path: Path) -> Path:
    """The classifier's area beside what chance gives and what this sample could show."""
    test = next(own for own in comparison.tests if own.kind == "classifier")
    fig, axes = style.figure(6.2, 1.3)
    axis = axes[0, 0]
    axis.axvspan(0.5, test.smallest, color=style.GRID, label="too small for this sample to show reliably")
    error = [[max(0.0, test.effect - float(test.low or 0))], [max(0.0, float(test.high or 0) - test.effect)]]
    axis.errorbar([test.effect], [0], xerr=error, fmt="o", color=NEW, capsize=3, label="new against reference")
    axis.axvline(0.5, color=style.MUTED, linewidth=0.8)
    axis.set_xlim(min(0.4, test.effect - 0.05), 1.0)
    axis.set_ylim(-1, 1)
    axis.set_yticks([])
    axis.set_xlabel("AUC of a classifier that tells new images from old (0.5: it guesses)")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, 1.45), ncols=2)
    return style.save(fig, path)


def shares(prevalence: Prevalence, classes: Sequence[str], path: Path) -> Path:
    """Shares of the classes: in the reference, and as estimated for the new images."""
    fig, axes = style.figure(6.2, 0.7 + 0.45 * len(classes))
    axis, places = axes[0, 0], np.arange(len(classes))
    error = np.stack([prevalence.estimate - prevalence.low, prevalence.high - prevalence.estimate]).clip(0)
    axis.plot(prevalence.reference, places, "s", color=OLD, label="reference")
    axis.errorbar(
        prevalence.estimate, places, xerr=error, fmt="o", color=NEW, capsize=3, label="new, estimated without labels"
    )
    axis.set_yticks(places, classes)
    axis.set_ylim(len(classes) - 0.5, -0.5)
    axis.set_xlim(-0.02, 1.02)
    axis.set_xlabel("share of the patients")
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return style.save(fig, path)
