"""The comparison as figures.

draw.py    all of them, by the name of their file
style.py   what they agree on: colours, marks, names of models
board.py   of the leaderboard: intervals, bars per class, confusion matrices
curves.py  along epochs or thresholds: histories, ROC and precision–recall curves
growth.py  along the size of the training set: learning curve, gain over the baseline
plans.py   who learned when, and how fast
films.py   test films with every model's reading
"""
