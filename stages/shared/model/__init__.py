"""A model: its backbone, its head, its files, its outputs.

backbones/    networks without a head, cut into blocks
model.py      normalise, backbone, head
detectors.py  models that say how anomalous an image is
memories/     heads that are fitted in one pass
recipe.py     recipe.json: all that is needed to predict, and where the model came from
store.py      models/<key>: the weights and the recipe on disk
decision.py   from probability maps to masks: threshold and components, chosen on validation images
predict.py    outputs for many images, in batches, on the best device
"""
