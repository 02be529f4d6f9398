"""Who learns, when, and how fast.

strategies.py  a strategy of params.yaml as a plan: for each epoch and group, a multiplier of the learning rate
apply.py       a plan on a model: the one place that freezes
"""
