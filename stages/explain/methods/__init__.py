"""Ways to ask a model where it looked: (model, images, targets) -> heat maps.

grad_cam.py  the gradient of a class, weighed over the last map
"""
