"""The comparison as figures.

all_figures.py  all of them, by the name of their file
style.py        what they agree on: colours, marks, names of models
board.py        of the leaderboard: intervals, bars per class, confusion matrices
curves.py       along epochs or thresholds: histories, ROC and precision–recall curves
growth.py       along the size of the training set: learning curve, gain over the baseline
plans.py        which blocks learned when, and how fast
embedding.py    the maps of one model's features
outlines.py     segmentations, image by image
anomalies.py    scores of normal images and of others
floors.py       what models reach above the best prediction without a network
reliability.py  probabilities against what happens, net benefit, errors among the most certain images
subgroups.py    scores of groups of the test images
shortcuts.py    whether the label can be told from what should not matter
examples.py     test images with every model's prediction
"""
