"""What the machine itself gains: a bare training step on images that lie in memory, in each precision and layout.

    python benchmarks/ceiling.py [resnet18 efficientnet_b0 …]

Nothing is read, decoded, validated or saved, so no pipeline can gain more from precision and layout than this.
"""

from __future__ import annotations

import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torchvision import models

BATCH, SIDE, STEPS = 32, 224, 4
WAYS = [(dtype, layout) for dtype in ("float32", "bfloat16") for layout in ("contiguous", "channels_last")]


def images_per_second(name: str, dtype: str, layout: str) -> float:
    """Median over STEPS steps, after one to warm up."""
    torch.manual_seed(0)
    memory_format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    model = models.get_model(name, num_classes=2).to(memory_format=memory_format)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    images = torch.rand(BATCH, 3, SIDE, SIDE).contiguous(memory_format=memory_format)
    targets = torch.arange(BATCH) % 2
    seconds = []
    for _ in range(1 + STEPS):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            logits = model(images)
        optimizer.zero_grad()
        F.cross_entropy(logits.float(), targets).backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    return BATCH / statistics.median(seconds[1:])


def main(names: list[str]) -> None:
    print(f"{BATCH} images of {SIDE}×{SIDE} a step, {torch.get_num_threads()} threads; images/s")
    for name in names:
        found = {way: images_per_second(name, *way) for way in WAYS}
        reference = found[WAYS[0]]
        print(
            name, *(f"{' '.join(way)} {rate:.1f} ({rate / reference:.2f}×)" for way, rate in found.items()), sep="\n  "
        )


if __name__ == "__main__":
    main(sys.argv[1:] or ["resnet18", "efficientnet_b0"])
