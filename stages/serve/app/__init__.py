"""`python -m stages app`: a page in the browser on which a model reads images. Runs no torch and no MLflow.

command.py     the command: starts Streamlit in the house's colours
page.py        what Streamlit runs at every click
tabs.py        the page: which model reads, three tabs
one_image.py   tab: an image of the reader or an example -> answer, heat map, similar cases, threshold
many_images.py tab: several images -> a table and a CSV file
about.py       tab: what the model is and on whom it was tested
reader.py      a version of a model, and what the page needs beside it, read once
examples.py    test images of this study as PNG, JPEG and DICOM
similar.py     the nearest training images
heat.py        what speaks for a class, laid over the image
thresholds.py  what another threshold would give
pictures.py    small drawings as SVG
words.py       numbers in plain sentences
look.css       what Streamlit has no widget for
"""
