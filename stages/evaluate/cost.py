"""What one prediction costs on this machine: arithmetic, time, memory, energy.

Times are facts about a machine at a moment, and no two runs give the same ones. So they lie in cost.json beside
metrics.json, never in it.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from ..shared.core.environment import processor
from ..shared.core.judging import Cost
from ..shared.model.model import Model
from ..shared.model.predict import as_tensor, best_device

BATCHES = (1, 32)
LEAST, MOST = 5, 200  # timed passes
SLOW = 10  # times the time to spend; then one pass has to do
RAPL = Path("/sys/class/powercap")


def measure(model: Model, images: np.ndarray, settings: Cost) -> dict[str, Any]:
    """{"parameters", "flops" of one image, where a multiply-add counts twice, "latency_ms": {batch: {value, low, high,
    passes}}, the median and the quartiles, "memory_mb": {batch: peak}, "energy_j": {value, source} of one image in the
    largest batch, "machine": {device, threads}}. From uint8 images in memory to outputs in memory, in float32.

    `images`: uint8 n×H×W×C, at least one; repeated to fill a batch.
    """
    device = best_device()
    model = model.eval().to(device)
    results: dict[str, Any] = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "flops": 0,
        "latency_ms": {},
        "memory_mb": {},
        "machine": {"device": name_of(device), "threads": settings.threads},
    }
    with threads(settings.threads), torch.no_grad():
        for size in BATCHES:
            batch = images[np.arange(size) % len(images)]

            def predict(batch: np.ndarray = batch) -> None:
                model(as_tensor(batch).to(device)).cpu()

            flops, memory = counted(predict, model, device)  # it warms up as well
            results["flops"], results["memory_mb"][str(size)] = flops // size, memory / 1e6
            energy = energy_meter(device)
            before = energy.read()
            passes = timed(predict, settings.seconds)
            joules = (energy.read() - before) / (size * len(passes))
            results["latency_ms"][str(size)] = summary(passes)
            known = joules >= 0  # NaN: not read; below 0: a counter began anew
            results["energy_j"] = {"value": joules if known else None, "source": energy.source}
    return results


def headlines(cost: Mapping[str, Any]) -> dict[str, float]:
    """For MLflow, of what `measure` gives."""
    values = {"parameters": cost["parameters"], "flops": cost["flops"], "energy_j": cost["energy_j"]["value"]}
    for size, latency in cost["latency_ms"].items():
        values |= {f"latency_{size}_ms": latency["value"], f"memory_{size}_mb": cost["memory_mb"][size]}
    return {f"cost/{name}": float(value) for name, value in values.items() if value is not None}


def name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """A fixed number, so that models and machines can be compared, whatever the machine gives a process."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def timed(work: Callable[[], None], seconds: float) -> list[float]:
    """Seconds of each pass: for so long in all and at least LEAST passes, but one alone where it is slow."""
    passes: list[float] = []
    start = time.perf_counter()
    while len(passes) < MOST:
        begin = time.perf_counter()
        work()
        end = time.perf_counter()
        passes.append(end - begin)
        spent = end - start
        if (spent >= seconds and len(passes) >= LEAST) or spent >= SLOW * seconds:
            break
    return passes


def summary(passes: Sequence[float]) -> Mapping[str, float | int]:
    """Milliseconds: the median, and the quartiles as low and high."""
    low, middle, high = (1000 * float(value) for value in np.percentile(passes, [25, 50, 75]))
    return {"value": middle, "low": low, "high": high, "passes": len(passes)}


def counted(work: Callable[[], None], model: Model, device: torch.device) -> tuple[int, int]:
    """(operations, where a multiply-add counts twice; bytes of the weights and the most that tensors take at one time).
    Working memory of libraries is not in it, but on a GPU."""
    weights = sum(t.nbytes for t in (*model.parameters(), *model.buffers()))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with Count() as count:
        work()
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else weights + count.peak
    return count.flops, int(memory)


class Count(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch has no types here
    """flops: of all operations that torch has a formula for, as its FlopCounterMode has it. peak: the most bytes that
    tensors took at one time."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = self.now = self.peak = 0
        self._seen: set[int] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here, and to tell the compiler so is to import it, which takes two seconds. This keeps
        FlopCounterMode from being used."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        outputs = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=outputs)
        if not func.is_view:
            for tensor in tree_leaves(outputs):
                if isinstance(tensor, torch.Tensor):
                    self._watch(tensor.untyped_storage())
        return outputs

    def _watch(self, storage: torch.UntypedStorage) -> None:
        place, size = storage._cdata, storage.nbytes()
        if place in self._seen:  # an operation in place
            return
        self._seen.add(place)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, place, size)

    def _free(self, place: int, size: int) -> None:
        self._seen.discard(place)
        self.now -= size


class EnergyMeter:
    """Joules since some moment, NaN where they cannot be read. `source`: of what, or why not."""

    def __init__(self, source: str, read: Callable[[], float] = lambda: float("nan")) -> None:
        self.source, self.read = source, read


def energy_meter(device: torch.device, root: Path = RAPL) -> EnergyMeter:
    """Of the GPU, or of the whole processor with all that runs on it."""
    if device.type == "cuda":
        if importlib.util.find_spec("pynvml") is None:
            return EnergyMeter("not readable here (the package nvidia-ml-py is not installed)")
        pynvml = importlib.import_module("pynvml")
        try:
            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
            pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        except pynvml.NVMLError as error:  # an older GPU, or a part of one
            return EnergyMeter(f"not readable here ({error})")
        return EnergyMeter("NVML: the GPU", lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000)
    counters = [path / "energy_uj" for path in sorted(root.glob("intel-rapl:*")) if path.name.count(":") == 1]
    if not counters:
        return EnergyMeter("not readable here (no counter in /sys/class/powercap)")
    try:
        rapl(counters)
    except OSError as error:
        return EnergyMeter(f"not readable here ({counters[0]}: {error.strerror})")
    return EnergyMeter("RAPL: the whole processor, with all that runs on it", lambda: rapl(counters))


def rapl(counters: Sequence[Path]) -> float:
    return sum(int(path.read_text()) for path in counters) / 1e6
