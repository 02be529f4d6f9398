"""What kind of network a backbone is: told from the name that its library gives it, by this table alone."""

from __future__ import annotations

CNN, TRANSFORMER = "CNN", "transformer"
FAMILIES = {
    "small_cnn": CNN, "alexnet": CNN, "vgg": CNN, "resnet": CNN, "resnext": CNN, "wide_resnet": CNN, "densenet": CNN,
    "efficientnet": CNN, "tf_efficientnet": CNN, "mobilenet": CNN, "tf_mobilenet": CNN, "inception": CNN,
    "googlenet": CNN, "xception": CNN, "squeezenet": CNN, "shufflenet": CNN, "mnasnet": CNN, "regnet": CNN,
    "convnext": CNN, "vit": TRANSFORMER, "deit": TRANSFORMER, "swin": TRANSFORMER, "beit": TRANSFORMER,
    "eva": TRANSFORMER,
}  # fmt: skip
"""By what a name begins with; the longest fits."""


def family(name: str) -> str | None:
    """None: not in the table."""
    fits = [start for start in FAMILIES if name.startswith(start)]
    return FAMILIES[max(fits, key=len)] if fits else None
