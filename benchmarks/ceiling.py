"""What the machine itself gains: a bare training step on images that lie in memory, in each precision and layout, then
in the pipeline's way: with memory kept between steps (allocator.py) and quick depthwise gradients (depthwise.py).

    python benchmarks/ceiling.py [resnet18 efficientnet_b0 …]

Nothing is read, decoded, validated or saved, so no pipeline can gain more from its arithmetic. How much faster this
processor multiplies matrices in bfloat16 than in float32 is the most that a network of dense convolutions can gain.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torchvision import models

sys.path.insert(0, str(Path(__file__).parent.parent))
from stages.shared.core.allocator import keep_freed_memory
from stages.train.machine.depthwise import quick_gradients

BATCH, SIDE, STEPS = 32, 224, 4
WAYS = [
    (dtype, layout, "as torch does") for dtype in ("float32", "bfloat16") for layout in ("contiguous", "channels_last")
]
WAYS += [(dtype, "channels_last", "as the pipeline does") for dtype in ("float32", "bfloat16")]


def images_per_second(name: str, dtype: str, layout: str, whose: str) -> float:
    """Median over STEPS steps, after one to warm up."""
    torch.manual_seed(0)
    memory_format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    model = models.get_model(name, num_classes=2).to(memory_format=memory_format)
    if whose == "as the pipeline does":
        keep_freed_memory()
        quick_gradients(model)
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


def matrix_gflops(dtype: torch.dtype, side: int = 2048) -> float:
    """Billions of operations a second in the best of five products of two matrices."""
    a, b = (torch.rand(side, side).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        torch.matmul(a, b)
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / min(seconds[1:]) / 1e9


def main(names: list[str]) -> None:
    full, half = matrix_gflops(torch.float32), matrix_gflops(torch.bfloat16)
    print(f"matrix products: float32 {full:.0f} GFLOP/s, bfloat16 {half:.0f} ({half / full:.2f}×)")
    print(f"{BATCH} images of {SIDE}×{SIDE} a step, {torch.get_num_threads()} threads; images/s")
    for name in names:
        found = {way: in_own_process(name, *way) for way in WAYS}
        reference = found[WAYS[0]]
        lines = [f"{', '.join(way)}: {rate:.1f} ({rate / reference:.2f}×)" for way, rate in found.items()]
        print(name, *lines, sep="\n  ", flush=True)


def in_own_process(*way: str) -> float:
    """The allocator's settings stay for as long as a process lives."""
    command = [sys.executable, __file__, "--way", *way]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--way"]:
        print(images_per_second(*sys.argv[2:]))
    else:
        main(sys.argv[1:] or ["resnet18", "efficientnet_b0"])
