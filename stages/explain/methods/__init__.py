"""Ways to ask a model where it looked: (model, images, targets) -> heat maps.

grad_cam.py  the last map, its channels weighted by the gradient of a class
"""
