"""From image files to the arrays that models read.

preprocessing.py  one recipe for the preprocess stage and for serving
transforms.py     albumentations transforms by name
catalogue.py      which of them there are, and their arguments
arrays.py         data/processed, as one memory-mapped array and a table
"""
