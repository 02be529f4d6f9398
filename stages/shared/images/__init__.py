"""Files of images.

kinds.py    which files count as images and as tables
naming.py   what the name of a file says of its image: patient, site
archive.py  data/raw.zip and others like it
tables.py   a table of the archive, and which image each of its rows means
decode.py   bytes of an image file -> grey or RGB pixels
frames.py   DICOM files of several frames
mask.py     bytes of a mask file -> the pixels of its structure
plain.py    numbers of an image that a linear model is given: of its file, its frame, its grey levels
"""
