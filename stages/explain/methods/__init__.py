"""Ways to ask a model where it looked: (model, images, targets) -> maps. One file each.

method.py                what a method is; many images, batch by batch, as maps in 0…1
activations.py           a network's last map and its gradient, for the CAMs
grad_cam.py              that map, its channels weighted by the gradient of a class
grad_cam_pp.py           the same with weights of its own for each cell
eigen_cam.py             that map's first principal component, whatever the class
occlusion.py             what is lost where a window hides a part of the image
integrated_gradients.py  gradients of the pixels on the way from a grey image
attention_rollout.py     which patches a transformer's class token attends to, through all layers
own_attention.py         where small_cnn's attention looks
"""

from __future__ import annotations

from . import (
    attention_rollout,
    eigen_cam,
    grad_cam,
    grad_cam_pp,
    integrated_gradients,
    occlusion,
    own_attention,
)
from .method import Method

METHODS: dict[str, Method] = {
    "grad_cam": Method("Grad-CAM", grad_cam.maps, grad_cam.unable),
    "grad_cam_pp": Method("Grad-CAM++", grad_cam_pp.maps, grad_cam.unable),
    "eigen_cam": Method("Eigen-CAM", eigen_cam.maps, grad_cam.unable, of_class=False),
    "occlusion": Method("occlusion", occlusion.maps),
    "integrated_gradients": Method("integrated gradients", integrated_gradients.maps),
    "attention_rollout": Method("attention rollout", attention_rollout.maps, attention_rollout.unable, of_class=False),
    "own_attention": Method("own attention", own_attention.maps, own_attention.unable, of_class=False),
}
"""By the name in params.yaml."""
