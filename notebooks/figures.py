# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Figures for a paper
#
# Two figures at the width of a journal column, in one style, from the numbers that the study left. They are written as
# PDF, with text that stays text, to `notebooks/figures/`, which git ignores.

# %%
import os
import sys
from pathlib import Path

ROOT = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "params.yaml").exists())
os.chdir(ROOT)  # a notebook starts in its own folder
sys.path.insert(0, str(ROOT))

import matplotlib.pyplot as plt
import pandas as pd

from stages.shared.figures.style import sample_marks, strategy_colours

COLUMN = 3.5  # inches
OUT = ROOT / "notebooks" / "figures"
OUT.mkdir(exist_ok=True)
plt.rcParams.update({
    "font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "pdf.fonttype": 42,
    "figure.constrained_layout.use": True,
})  # fmt: skip

repeats = pd.read_csv("reports/compare/repeats.csv").query("kind == 'model'")
contrasts = pd.read_csv("reports/compare/contrasts.csv")
metric = pd.read_csv("reports/compare/leaderboard.csv")["metric"].iloc[0]
colour = strategy_colours(sorted(repeats["strategy"].unique()))
mark = sample_marks(sorted(repeats["strategy"].unique()))

# %% [markdown]
# ## Figure 1: how many images does it need?
#
# Mean over seeds; the bars are intervals over patients and seeds.

# %%
fig, ax = plt.subplots(figsize=(COLUMN, 2.6))
for strategy, rows in repeats.sort_values("train_images").groupby("strategy"):
    errors = [rows[metric] - rows[f"{metric}_low"], rows[f"{metric}_high"] - rows[metric]]
    ax.errorbar(rows["train_images"], rows[metric], yerr=errors, marker=mark[strategy][0], markersize=4, capsize=2,
                linewidth=1, color=colour[strategy], label=strategy.replace("_", " "))  # fmt: skip
sizes = sorted(repeats["train_images"].unique())
ax.set(xscale="log", xlabel="training images", ylabel=metric.upper())
ax.set_xticks(sizes, [f"{size:,.0f}" for size in sizes])
ax.minorticks_off()
fig.legend(loc="outside upper center", ncols=2)
fig.savefig(OUT / "data_efficiency.pdf")

# %% [markdown]
# ## Figure 2: what a strategy gains over the baseline
#
# An interval that includes zero is “not shown to differ”.

# %%
names = contrasts["strategy"].str.replace("_", " ") + ", " + contrasts["sample"].astype(str)
fig, ax = plt.subplots(figsize=(COLUMN, 0.3 * len(contrasts) + 0.9))
for place, row in enumerate(contrasts.itertuples()):
    ax.plot([row.low, row.high], [place, place], color=colour[row.strategy], linewidth=1.5)
    ax.plot(row.difference, place, marker=mark[row.strategy][0], markersize=4, color=colour[row.strategy])
ax.axvline(0, color="#66707b", linewidth=0.6)
ax.set(yticks=range(len(contrasts)), yticklabels=names, xlabel=f"difference in {metric.upper()}")
ax.invert_yaxis()
fig.savefig(OUT / "gains.pdf")

# %% [markdown]
# A caption has to say what the intervals are: here 95%, over patients of the test set and seeds, for all contrasts of
# one size at once. `reports/compare/documents/methods.bib` has the references.
