"""Files of images.

kinds.py    which files count as images
archive.py  data/raw.zip and others like it
decode.py   bytes of an image file -> grey or RGB pixels
mask.py     bytes of a mask file -> the pixels of its structure
"""
