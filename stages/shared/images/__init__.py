"""Files of images: archive.py (data/raw.zip) and decode.py (bytes of an image file -> grey or RGB pixels)."""
