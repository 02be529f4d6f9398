"""Confusion matrix, ROC and precision–recall curves of one model on the test patients."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..shared.figures.style import INK, MUTED, SEQUENTIAL, colours, figure, save
from ..shared.measures.statistics import auroc
from .metrics import auprc


def confusion(targets: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """K×K counts: rows are the truth, columns what was said."""
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (targets, predicted), 1)
    return counts


def draw_confusion(targets: np.ndarray, predicted: np.ndarray, classes: list[str], name: str, path: Path) -> Path:
    counts = confusion(targets, predicted, len(classes))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.6 + 0.6 * len(classes)
    fig, axes = figure(side, side * 0.86)
    ax = axes[0, 0]
    ax.imshow(shares, cmap=SEQUENTIAL, vmin=0, vmax=1)
    for i, j in np.ndindex(*counts.shape):
        ink = "white" if shares[i, j] > 0.55 else INK
        ax.text(j, i, f"{counts[i, j]}\n{shares[i, j]:.0%}", ha="center", va="center", color=ink)
    ticks = range(len(classes))
    ax.set(xticks=ticks, yticks=ticks, xticklabels=classes, yticklabels=classes, xlabel="predicted", ylabel="truth")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.set_title(name, fontsize=8, color=MUTED, fontweight="normal")
    return save(fig, path)


def shown_classes(classes: list[str]) -> list[int]:
    """Of a binary problem one curve says everything: the positive class, which is the last."""
    return [1] if len(classes) == 2 else list(range(len(classes)))


def thresholds(truth: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives at each distinct score, from the strictest on."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.r_[np.diff(score[order]) != 0, True])
    return np.cumsum(truth[order])[last], np.cumsum(~truth[order])[last]


def draw_roc(targets: np.ndarray, probs: np.ndarray, classes: list[str], name: str, path: Path) -> Path:
    fig, axes = figure(4.2, 4)
    ax = axes[0, 0]
    for k, colour in zip(shown_classes(classes), colours(classes).values(), strict=False):
        truth = targets == k
        tp, fp = thresholds(truth, probs[:, k])
        area = auroc(truth, probs[:, k], np.ones((1, len(truth))))[0]
        rates = np.r_[0, fp / max(1, (~truth).sum())], np.r_[0, tp / max(1, truth.sum())]
        ax.plot(*rates, color=colour, label=f"{classes[k]}  {area:.3f}")
    ax.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":")
    ax.set(xlabel="1 − specificity", ylabel="sensitivity", xlim=(-0.01, 1), ylim=(0, 1.01), aspect="equal")
    ax.set_title(name, fontsize=8, color=MUTED, fontweight="normal")
    ax.legend(title="AUROC", loc="lower right")
    return save(fig, path)


def draw_pr(targets: np.ndarray, probs: np.ndarray, classes: list[str], name: str, path: Path) -> Path:
    fig, axes = figure(4.2, 4)
    ax = axes[0, 0]
    for k, colour in zip(shown_classes(classes), colours(classes).values(), strict=False):
        truth = targets == k
        tp, fp = thresholds(truth, probs[:, k])
        area = auprc(truth, probs[:, k], np.ones((1, len(truth))))[0]
        ax.plot(
            tp / max(1, truth.sum()),
            tp / (tp + fp),
            color=colour,
            label=f"{classes[k]}  {area:.3f}",
            drawstyle="steps-pre",
        )
        ax.axhline(truth.mean(), color=colour, linewidth=0.8, linestyle=":")
    ax.set(xlabel="sensitivity (recall)", ylabel="PPV (precision)", xlim=(0, 1.01), ylim=(0, 1.01), aspect="equal")
    ax.set_title(name, fontsize=8, color=MUTED, fontweight="normal")
    ax.legend(title="AUPRC", loc="lower left")
    return save(fig, path)
