# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # How the models learned
#
# Curves of every member of the matrix, what was frozen when, and what it cost.

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

from stages.shared.exported.chosen import chosen_key
from stages.shared.figures.style import strategy_colours

board = pd.read_csv("reports/compare/leaderboard.csv").query("kind == 'model'")
histories = pd.read_csv("reports/compare/histories.csv")
colour = strategy_colours(sorted(board["strategy"].unique()))

# %% [markdown]
# ## Learning curves
#
# Training loss dashed, validation loss solid: where the solid line turns up, a model has begun to learn its training
# images by heart. Early stopping keeps the best epoch.

# %%
samples = sorted(histories["sample"].unique())
fig, axes = plt.subplots(1, len(samples), figsize=(3.2 * len(samples), 3), sharey=True, squeeze=False)
for ax, sample in zip(axes[0], samples, strict=True):
    for (strategy, _), run in histories[histories["sample"] == sample].groupby(["strategy", "model"]):
        ax.plot(run["epoch"], run["train_loss"], "--", linewidth=0.8, color=colour[strategy])
        ax.plot(run["epoch"], run["val_loss"], color=colour[strategy], label=strategy)
    ax.set(title=sample, xlabel="epoch")
    ax.xaxis.get_major_locator().set_params(integer=True)
axes[0, 0].set_ylabel("loss")
handles = dict(zip(*axes[0, 0].get_legend_handles_labels()[::-1], strict=True))
fig.legend(handles.values(), handles, loc="outside upper right", ncols=len(handles), frameon=False)
fig.set_layout_engine("constrained")

# %% [markdown]
# ## What learns when
#
# A strategy is a plan: a learning rate for each block and epoch, or none where the block is frozen (grey). One row of
# pictures for each strategy, at its first sample.

# %%
first = board.drop_duplicates("strategy")
fig, axes = plt.subplots(1, len(first), figsize=(3.6 * len(first), 2.4), squeeze=False, layout="constrained")
for ax, row in zip(axes[0], first.itertuples(), strict=True):
    plan = pd.read_csv(f"reports/train/{row.key}/plan.csv")
    blocks = list(plan["block"].unique())
    rates = plan.pivot(index="block", columns="epoch", values="lr").reindex(blocks).to_numpy(float)
    ax.set_facecolor("#e3e6e9")
    picture = ax.imshow(np.log10(np.where(rates > 0, rates, np.nan)), aspect="auto", cmap="viridis", vmin=-6, vmax=-1.5)
    ax.set(title=row.strategy, yticks=range(len(blocks)), yticklabels=blocks, xlabel="epoch")
    ax.xaxis.get_major_locator().set_params(integer=True)
fig.colorbar(picture, ax=axes, label="log10 of the learning rate")
plt.show()

# %% [markdown]
# ## What it cost
#
# Up and left is better. The model that validation chose has a ring.

# %%
metric = board["metric"].iloc[0]
fig, ax = plt.subplots(figsize=(6, 3.6))
for strategy, rows in board.groupby("strategy"):
    ax.scatter(rows["seconds"], rows[metric], s=20 + rows["train_images"] / 4, color=colour[strategy], label=strategy)
chosen = board[board["key"] == chosen_key()]
ax.scatter(chosen["seconds"], chosen[metric], s=260, facecolors="none", edgecolors="#1b2026")
scale = "log" if board["seconds"].max() > 10 * board["seconds"].min() else "linear"
ax.set(xscale=scale, xlabel="seconds of training", ylabel=f"{metric} on test", title="Larger: more training images")
ax.margins(0.12)
ax.legend(frameon=False)
plt.show()
