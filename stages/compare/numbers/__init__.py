"""The comparison as numbers, by any metric of the task.

comparison.py  reads everything, and gathers the tables below in one Study
draws.py       one metric on every bootstrap draw: differences and their intervals
board.py       the leaderboard
tiers.py       what the test images tell apart, in place of an order
optimism.py    the luck in the first row, which was chosen for its value
ensembles.py   means over the probabilities of several models
paired.py      paired tests beside the bootstrap, of all that it compares
delong.py      areas under the ROC curve and their covariance, by cluster
mcnemar.py     which of two models is right more often, by cluster
repeats.py     means over seeds, and contrasts with the baseline
curves.py      histories, ROC and precision–recall curves, confusion counts
embeddings.py  neighbours against the model's own head, suspected leaks
cost.py        what a prediction costs
pooled.py      folds of one training as one
cells.py       repeats as one, and what they cost
guidelines.py  what to use for each size of training set
questions.py   groups of models that differ in one thing
families.py    CNN or transformer
pareto.py      what a better score costs
power_law.py   learning curves, and the images that a score needs
floors.py      models against the best prediction without a network
sites.py       scores of each site apart
spread.py      probabilities of trainings with other seeds
worth.py       how many images the baseline needs for the same
dataset.py     the data set, counted
"""
