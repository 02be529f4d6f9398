# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Where do they look, and where do they fail?
#
# Heat maps, whether they are worth anything, the map of the features, and the surest errors.

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
from stages.shared.exported.chosen import chosen_key
from stages.shared.figures.style import HEAT, colours

key = chosen_key()
explain, embed = Path("reports/explain") / key, Path("reports/embed") / key
index = pd.read_parquet("data/processed/index.parquet")
images = np.load("data/processed/images.npy", mmap_mode="r")
row_of = {path: row for row, path in enumerate(index["path"])}
colour = colours(list(index["label"].cat.categories))

# %% [markdown]
# ## Heat maps
#
# Test images, right and wrong ones. Bright is what spoke most for the predicted class.

# %%
cases = read_json(explain / "cases.json")
stored = np.load(explain / "heatmaps.npz", allow_pickle=False)
heat = dict(zip(stored["paths"].tolist(), stored["heatmaps"], strict=True))
fig, axes = plt.subplots(2, len(cases), figsize=(1.6 * len(cases), 3.6), layout="constrained", squeeze=False)
for column, case in zip(axes.T, cases, strict=True):
    film = images[row_of[case["path"]]].squeeze()
    for ax in column:
        ax.imshow(film, cmap="gray", vmin=0, vmax=255)
        ax.set_axis_off()
    column[1].imshow(heat[case["path"]], cmap=HEAT, alpha=0.5)
    verdict = "right" if case["correct"] else "WRONG"
    column[0].set_title(f"{case['label']}\n{verdict}, {case['confidence']:.0%}", fontsize=8)

# %% [markdown]
# ## Are the maps worth anything?
#
# Deletion: how far the probability falls while the hottest pixels are removed first (lower is better for the map).
# Insertion: how it rises while they are put back (higher is better). Grey: the same with random pixels. A map that does
# not beat random pixels says nothing.

# %%
maps = pd.read_parquet(explain / "maps.parquet")
fig, axes = plt.subplots(1, 2, figsize=(8, 3), sharey=True)
for ax, name in zip(axes, ("deletion", "insertion"), strict=True):
    for x, (column, paint) in enumerate(((f"{name}_random", "#7b838c"), (name, "#0072b2"))):
        values = maps[column].dropna()
        jitter = np.random.default_rng(x).uniform(-0.15, 0.15, len(values))
        ax.plot(x + jitter, values, "o", markersize=3, alpha=0.5, color=paint)
        ax.plot([x - 0.25, x + 0.25], [values.mean()] * 2, color="#1b2026")
    ax.set(title=name, xticks=(0, 1), xticklabels=("random pixels", "hottest first"), xlim=(-0.5, 1.5))
axes[0].set_ylabel("area under the curve")
plt.show()

# %% [markdown]
# ## The map of the features
#
# t-SNE of what the network makes of each image before its last layer. Crosses are test images that it gets wrong.

# %%
points = pd.read_parquet(embed / "points.parquet").merge(index[["path", "label"]], on="path")
fig, ax = plt.subplots(figsize=(6, 5), layout="constrained")
for name, rows in points.groupby("label", observed=True):
    ax.scatter(rows["tsne_x"], rows["tsne_y"], s=9, color=colour[name], label=name, alpha=0.7)
wrong = points[points["predicted"].notna() & (points["predicted"] != points["label"].astype(str))]
ax.scatter(wrong["tsne_x"], wrong["tsne_y"], marker="x", s=40, color="#1b2026", label="wrong")
ax.set(xticks=[], yticks=[], title=key)
fig.legend(loc="outside right upper", frameon=False)
plt.show()

# %% [markdown]
# ## The surest errors
#
# What a reader should look at first: a wrong label, an unusual film, or something that the model has not learned.

# %%
failures = read_json(f"reports/evaluate/{key}/metrics.json")["failures"]["cases"][:6]
fig, axes = plt.subplots(1, max(len(failures), 1), figsize=(1.8 * max(len(failures), 1), 2.4), squeeze=False)
for ax in axes[0]:
    ax.set_axis_off()
for ax, case in zip(axes[0], failures, strict=False):
    ax.imshow(images[row_of[case["path"]]].squeeze(), cmap="gray", vmin=0, vmax=255)
    ax.set_title(f"says {case['predicted']}, {case['confidence']:.0%}\nis {case['label']}", fontsize=8)
