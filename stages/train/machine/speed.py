"""The numeric precision and the memory layout that train fastest on this machine: measured once, then remembered, so
that a repeated training gives the same numbers."""

from __future__ import annotations

import copy
import platform
import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from filelock import FileLock

from ...shared.core.errors import UserError
from ...shared.core.files import read_json, write_json
from ...shared.core.paths import project_root
from ...shared.model.model import Classifier
from ..plan.strategies import HEAD
from .depthwise import quick_gradients
from .device import DTYPES
from .race import IMAGES, Step, Way, pick, race

# Shapes: B batch, C channels, H×W pixels


RACE = 2  # raised when what is raced changes: older answers no longer count


@dataclass(frozen=True)
class Choice:
    """seconds: what was measured, by the name of the way; empty where the settings left nothing open."""

    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    channels_last: bool
    seconds: dict[str, float]


def choose(
    model: Classifier,
    shape: tuple[int, int, int, int],
    learns: Collection[str],
    *,
    name: str,
    about: str = "",
    precision: str = "auto",
    channels_last: bool | Literal["auto"] = "auto",
    device: torch.device | None = None,
) -> Choice:
    """What the settings leave open, filled in by the faster; `model` and torch's random state stay as they are.

    Args:
        shape: of a training batch, B×C×H×W.
        learns: the blocks that learn at some time, and "head".
        name: of the network, for the message.
        about: what else its speed may depend on, such as its head.

    Raises:
        UserError: 16-mixed without a GPU; a damaged memory.
    """
    device = device or torch.device("cpu")
    if precision == "16-mixed" and device.type != "cuda":
        raise UserError(
            f"params.yaml: train.precision: 16-mixed needs a GPU, and this training runs on {device.type}. "
            f"Valid here: auto, {', '.join(precisions(device))}."
        )
    ways = open_ways(precision, channels_last, device)
    if len(ways) == 1:
        return Choice(*ways[0], {})
    asked = [f"{'×'.join(map(str, shape))} images", f"learns {told(model, learns)}", " | ".join(map(str, ways))]
    key = "; ".join([f"{name} {about}".strip(), *machine(device), *asked, f"race {RACE}"])
    return remembered(key, lambda: measure(model, shape, learns, ways, device), name)


def open_ways(precision: str, channels_last: bool | str, device: torch.device) -> list[Way]:
    """What the settings allow here; the reference first."""
    layouts = [False, True] if channels_last == "auto" else [bool(channels_last)]
    allowed = precisions(device) if precision == "auto" else [precision]
    return [Way(p, layout) for p in allowed for layout in layouts]


def precisions(device: torch.device) -> list[str]:
    """What the hardware computes natively; emulated bfloat16 only loses."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return ["32-true", *(["bf16-mixed"] if native else []), "16-mixed"]
    return ["32-true", "bf16-mixed"] if device.type == "cpu" and bf16_on_cpu() else ["32-true"]


def bf16_on_cpu() -> bool:
    """AVX-512 BF16 or AMX. torch keeps the question private, so a later version may not answer it: then no."""
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in asked)


def measure(
    model: Classifier, shape: tuple[int, int, int, int], learns: Collection[str], ways: list[Way], device: torch.device
) -> Choice:
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        step = training_step(model, shape, learns, ways, device)
        seconds = race(ways, step, shape[0])
    return Choice(*pick(seconds, ways[0]), {str(way): round(s, 6) for way, s in seconds.items()})


def training_step(
    model: Classifier,
    shape: tuple[int, int, int, int],
    learns: Collection[str],
    ways: Iterable[Way],
    device: torch.device,
) -> Step:
    """Forward and backward on noise, with a copy of the model for each layout."""
    copies = {layout: freeze(apply(copy.deepcopy(model), layout), learns).to(device) for _, layout in ways}
    for each in copies.values():
        quick_gradients(each)
    generator = torch.Generator().manual_seed(0)
    images = min(shape[0], IMAGES)
    noise = torch.randint(0, 256, (images, *shape[2:], shape[1]), dtype=torch.uint8, generator=generator)
    noise = noise.permute(0, 3, 1, 2).to(device)  # as rows of the array lie

    def step(way: Way, images: int) -> None:
        chosen = copies[way.channels_last]
        chosen.zero_grad(set_to_none=True)
        with torch.autocast(device.type, DTYPES.get(way.precision), enabled=way.precision in DTYPES):
            logits = chosen(noise[:images])
        logits.float().logsumexp(dim=1).mean().backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return step


def freeze(model: Classifier, learns: Collection[str]) -> Classifier:
    """In train mode but for the frozen blocks, as the learner has it."""
    model.train().requires_grad_(False)
    for block in model.backbone.blocks:
        for parameter in model.backbone.parameters_of(block):
            parameter.requires_grad_(block in learns)
        if block not in learns:
            for module in model.backbone.modules_of(block):
                module.eval()
    model.head.requires_grad_(HEAD in learns)
    return model


def remembered(key: str, measured: Callable[[], Choice], name: str) -> Choice:
    """The answer of the first time. Parallel trainings wait for each other here: racing side by side tells nothing."""
    path = project_root() / ".lightbox" / "speed.json"
    path.parent.mkdir(exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        memory = read_memory(path)
        if key not in memory:
            choice = measured()
            write_json(path, memory | {key: asdict(choice)})
            print(verdict(name, choice, path), file=sys.stderr)
            return choice
    return Choice(**memory[key])


def read_memory(path: Path) -> dict[str, Any]:
    try:
        memory: dict[str, Any] = read_json(path) if path.exists() else {}
    except ValueError as error:
        raise UserError(f"{path}: not readable ({error}). Delete it; the next training measures anew.") from None
    return memory


def verdict(name: str, choice: Choice, path: Path) -> str:
    reference, *others = choice.seconds
    taken = str(Way(choice.precision, choice.channels_last))
    at = {way: choice.seconds[reference] / choice.seconds[way] for way in others}
    shown = ", ".join(f"{way} {ratio:.2f}×" for way, ratio in at.items())
    return f"{name}: trains in {taken} (speed beside {reference}: {shown}; remembered in {path})"


def machine(device: torch.device) -> list[str]:
    """What decides about speed, beside the model."""
    if device.type == "cuda":
        return [torch.cuda.get_device_name(device), f"torch {torch.__version__}"]
    return [processor(), f"{torch.get_num_threads()} threads", f"torch {torch.__version__}"]


def processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), platform.processor() or platform.machine())


def told(model: Classifier, learns: Collection[str]) -> str:
    groups = [*model.backbone.blocks, HEAD]
    return "all" if set(groups) <= set(learns) else ", ".join(g for g in groups if g in learns)


def apply(model: Classifier, channels_last: bool) -> Classifier:
    """The layout of the weights, in place; convolutions follow it."""
    return model.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
