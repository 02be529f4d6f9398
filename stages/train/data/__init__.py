"""What an epoch shows.

batches.py  images, the order of an epoch, its batches
"""
