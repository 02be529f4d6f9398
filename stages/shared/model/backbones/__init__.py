"""Backbones: networks that turn normalised images B×3×H×W into feature vectors B×F, cut into ordered blocks.

build.py        the backbone of a name, and what the libraries know of it
base.py         what a backbone is
maps.py         which modules give a map of the image
small_cnn.py    our own
torchvision.py  any of torchvision's classification models
timm.py         any of timm's
"""
