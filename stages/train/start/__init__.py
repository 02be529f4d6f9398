"""The weights a training starts from.

start.py       which ones, resolved once
sources.py     the tensors of a file, of torchvision, of timm
registered.py  a model of the MLflow registry, fetched
matching.py    their names and the network's
"""
