# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # How good are they, and how sure is that?
#
# Scores with intervals, the model that validation chose in detail, and a paired comparison of two models.

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
from sklearn.calibration import calibration_curve
from sklearn.metrics import RocCurveDisplay

from stages.shared.core.files import read_json
from stages.shared.core.task import CALIBRATED
from stages.shared.exported.chosen import chosen_key
from stages.shared.figures.style import strategy_colours

board = pd.read_csv("reports/compare/leaderboard.csv").query("kind == 'model'").reset_index(drop=True)
metric, key = board["metric"].iloc[0], chosen_key()
colour = strategy_colours(sorted(board["strategy"].unique()))
metrics = read_json(f"reports/evaluate/{key}/metrics.json")
predictions = pd.read_parquet(f"reports/evaluate/{key}/predictions.parquet")
test = predictions[predictions["split"] == "test"]
positive = test["label"].cat.categories[-1]
truth, score = (test["label"] == positive).to_numpy(), test[CALIBRATED + positive].to_numpy()

# %% [markdown]
# ## The leaderboard
#
# Intervals are over patients. Where they overlap widely, the order of two rows is chance.

# %%
fig, ax = plt.subplots(figsize=(7, 0.28 * len(board) + 1))
for place, row in board.iterrows():
    low, high = row[f"{metric}_low"], row[f"{metric}_high"]
    ax.plot([low, high], [place, place], color=colour[row["strategy"]], linewidth=2)
    ax.plot(row[metric], place, "o", color=colour[row["strategy"]])
ax.set(yticks=board.index, yticklabels=board["key"], xlabel=f"{metric} on test", title=f"Validation chose {key}")
ax.margins(y=0.2)
ax.invert_yaxis()

# %% [markdown]
# ## The chosen model: ROC and reliability

# %%
fig, (roc, reliability) = plt.subplots(1, 2, figsize=(9, 4))
RocCurveDisplay.from_predictions(truth, score, ax=roc, plot_chance_level=True, name=positive)
roc.set(xlabel="1 − specificity", ylabel="sensitivity", title="ROC")
observed, stated = calibration_curve(truth, score, n_bins=8, strategy="quantile")
reliability.plot([0, 1], [0, 1], color="#7b838c", linewidth=0.8)
reliability.plot(stated, observed, "o-", color="#0072b2")
reliability.set(xlabel="calibrated probability", ylabel=f"share of {positive}", title="Reliability", aspect="equal")
plt.show()

# %% [markdown]
# ## What a threshold means
#
# The dashed line is the operating point, which validation images chose.

# %%
grid = np.linspace(0, 1, 201)
above = score[:, None] > grid
predicted = (test["predicted"] == positive).to_numpy()
chosen = (score[predicted].min() + score[~predicted].max()) / 2 if predicted.any() and not predicted.all() else 0.5
fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
ax.plot(grid, above[truth].mean(axis=0), color="#d55e00", label=f"sensitivity: {positive} that is found")
ax.plot(grid, 1 - above[~truth].mean(axis=0), color="#0072b2", label="specificity: no false alarm")
ax.axvline(chosen, color="#1b2026", linestyle="--", linewidth=0.8)
ax.set(xlabel=f"call {positive} above this probability", ylim=(0, 1.02))
fig.legend(loc="outside upper center", ncols=2, frameon=False)
plt.show()

# %% [markdown]
# ## Two models on the same patients
#
# Each bootstrap draw took the same patients for both models, so the difference of a draw is paired. If zero lies inside
# the shaded interval, the study does not show that one is better.

# %%
other = board[board["key"] != key].iloc[0]["key"]
draws = {name: pd.read_parquet(f"reports/evaluate/{name}/draws.parquet")[metric] for name in (key, other)}
difference = (draws[key] - draws[other]).dropna()
low, high = difference.quantile([0.025, 0.975])
fig, ax = plt.subplots(figsize=(7, 2.6))
ax.hist(difference, 60, color="#7b838c")
ax.axvspan(low, high, color="#0072b2", alpha=0.15)
ax.axvline(0, color="#d55e00")
ax.set(title=f"{metric}: {key} − {other}", yticks=[], xlabel=f"95% of the draws between {low:+.3f} and {high:+.3f}")
plt.show()
