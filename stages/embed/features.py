"""What the backbone makes of every image, without the head.

Shapes: N images, F features.
"""

from __future__ import annotations

import numpy as np
import torch

from ..shared.core.progress import progress
from ..shared.model.model import Model
from ..shared.model.predict import as_tensor, batches, best_device


@torch.inference_mode()
def embeddings(model: Model, images: np.ndarray) -> np.ndarray:
    """float32 N×F of uint8 images N×H×W×C: the backbone's features, each row of length 1 (a row of zeros stays).

    Their scalar product is then the cosine, the usual likeness of features (Wu et al. 2018; Caron et al. 2021): how
    bright or rich an image is changes the length of its features more than their direction.
    """
    device = best_device()
    model = model.eval().to(device)
    rows = np.zeros((len(images), model.backbone.feature_count), np.float32)
    chunks = batches(np.arange(len(images)))
    for chunk in progress(chunks, desc="features", unit="batch", disable=len(chunks) < 8, leave=False):
        features = model.backbone.features(model.normalise(as_tensor(images[chunk]).to(device)))
        rows[chunk] = torch.nn.functional.normalize(features.float(), dim=1).cpu().numpy()
    return rows
