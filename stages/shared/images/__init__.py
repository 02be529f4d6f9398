"""Files of images.

kinds.py    which files count as images
archive.py  data/raw.zip
decode.py   bytes of an image file -> grey or RGB pixels
"""
