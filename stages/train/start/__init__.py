"""The weights a training starts from.

start.py     which ones, resolved once; a model of the MLflow registry is fetched
sources.py   the tensors of a file, of torchvision, of timm
matching.py  their names and the network's
"""
