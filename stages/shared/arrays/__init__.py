"""From image files to the arrays that models read.

preprocessing.py  one recipe for the preprocess stage and for serving
transforms.py     steps by name, applied in order
catalogue.py      which steps there are, and their arguments: albumentations transforms and our own
content.py        our own: threshold, crops to what an image shows
masks.py          the mask files of an image -> one array of class numbers
arrays.py         data/processed, as one memory-mapped array and a table
"""
