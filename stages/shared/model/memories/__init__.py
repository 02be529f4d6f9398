"""Heads that are fitted in one pass: a memory of what a frozen backbone makes of normal images. The anomaly of an image
is its distance from that memory.

settings.py    what a user may say; part of an architecture
memory.py      what a memory is; maps of several blocks as one
neighbours.py  stored features, of images or of patches; the distance is that to the nearest
coreset.py     a small part of many patches that covers them all
gaussian.py    mean and covariance, of images or of each position; the distance is Mahalanobis's
make.py        from the settings to a new memory
"""
