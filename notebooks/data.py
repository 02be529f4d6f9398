# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # The images of a study
#
# What came in, how it was split, and whether the label can be told from what should not matter. Reads the results of
# `make run`; computes nothing anew.

# %%
import os
import sys
from pathlib import Path

ROOT = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "params.yaml").exists())
os.chdir(ROOT)  # a notebook starts in its own folder
sys.path.insert(0, str(ROOT))

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from stages.shared.core.files import read_json
from stages.shared.figures.style import colours

manifest = pd.read_parquet("data/manifest.parquet")
index = pd.read_parquet("data/processed/index.parquet")
images = np.load("data/processed/images.npy", mmap_mode="r")  # N×H×W×C, as the models see them
colour = colours(list(index["label"].cat.categories))

# %% [markdown]
# ## What came in
#
# Images that cannot be read, are blank, or contradict each other are set aside, each with its reason.

# %%
reasons = manifest["reason"].str.partition(":")[0].fillna("used").value_counts()
fig, ax = plt.subplots(figsize=(7, 0.35 * len(reasons) + 0.8))
ax.barh(reasons.index, reasons.to_numpy(), color=["#7b838c"] + ["#d55e00"] * (len(reasons) - 1))
ax.bar_label(ax.containers[0], padding=3)
ax.set(title="Images by what became of them", xlabel="images", xscale="log")
ax.margins(x=0.1)
ax.invert_yaxis()

# %% [markdown]
# ## Examples
#
# One row for each class, drawn at random from the training images: preprocessed, so exactly what a model learns from.

# %%
rng = np.random.default_rng(0)
classes = list(index["label"].cat.categories)
fig, axes = plt.subplots(len(classes), 8, figsize=(10, 1.4 * len(classes)), squeeze=False)
for row, name in zip(axes, classes, strict=True):
    own = np.flatnonzero((index["label"] == name) & (index["split"] == "train"))
    for ax, position in zip(row, rng.permutation(own)[: len(row)], strict=False):
        ax.imshow(images[position].squeeze(), cmap="gray", vmin=0, vmax=255)
    for ax in row:
        ax.set_axis_off()
    row[0].set_title(name, loc="left")

# %% [markdown]
# ## The split
#
# All images of a patient are on one side. Bars are patients, so that one with many films does not count more.

# %%
patients = index.groupby(["split", "label"], observed=True)["patient"].nunique().unstack(fill_value=0)
patients = patients.reindex(["train", "val", "test"]).dropna()
ax = patients.plot.bar(stacked=True, figsize=(5, 3), color=colour, rot=0, xlabel="", ylabel="patients")
for bars in ax.containers:
    ax.bar_label(bars, label_type="center", color="white")
assert index.groupby("patient")["split"].nunique().max() == 1, "a patient is on two sides"

# %% [markdown]
# ## Brightness and contrast
#
# Where the curves of two classes lie apart, a model may learn the exposure instead of the disease.

# %%
used = manifest.merge(index[["path", "split"]], on="path")
fig, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
for ax, fact in zip(axes, ("brightness", "contrast", "sharpness"), strict=True):
    edges = np.histogram_bin_edges(used[fact], 30)
    for name, rows in used.groupby("label", observed=True):
        ax.hist(rows[fact], edges, density=True, histtype="step", linewidth=1.6, color=colour[name], label=name)
    ax.set(title=fact, yticks=[])
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(classes), frameon=False)
plt.show()

# %% [markdown]
# ## Shortcuts
#
# How well a linear model tells the label without looking at the anatomy. 0.5 is chance; right of the dashed line
# `validate` warns.

# %%
shortcuts = read_json("reports/validate/shortcuts/shortcuts.json")
meters = pd.DataFrame([meter for meter in shortcuts["meters"] if "auroc" in meter])
fig, ax = plt.subplots(figsize=(7, 0.45 * len(meters) + 1))
errors = [meters["auroc"] - meters["low"], meters["high"] - meters["auroc"]]
ax.errorbar(meters["auroc"], meters["title"], xerr=errors, fmt="o", color="#0072b2")
ax.axvline(0.5, color="#7b838c", linewidth=0.8)
ax.axvline(shortcuts["bar"], color="#d55e00", linestyle="--", linewidth=0.8)
ax.set(xlabel="AUROC", xlim=(0.3, 1), title="Can the label be told from this alone?")
ax.margins(y=0.4)
ax.invert_yaxis()
