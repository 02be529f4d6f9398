"""A model: its backbone, its head, its files, its predictions.

backbones/  networks without a head, cut into blocks
model.py    normalise, backbone, head
recipe.py   recipe.json: all that is needed to predict, and where the model came from
"""
