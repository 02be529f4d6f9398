"""What frozen blocks make of an image, computed once.

source.py  what a training reads: images, or the features of a frozen prefix
cut.py     where a network is cut: the prefix that never learns, the tail that does
store.py   the features of all images: which are there, and computing the others
disk.py    their files, within the limit for all of them
"""
