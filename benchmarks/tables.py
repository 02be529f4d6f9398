"""Measurements -> the page of tables."""

from __future__ import annotations

import os
import platform
import statistics
from argparse import Namespace
from pathlib import Path
from typing import Any

NAMES = {"a": "(a) usual way", "b": "(b) fastai", "c": "(c) this pipeline"}
BARS = {"resnet18": 3.0, "efficientnet_b0": 2.3, "features": 25.0}  # (c) over (a), on two cores
MEMORY_BAR = 1500  # MB beyond the model
TIMM = {"resnet18": 3482, "efficientnet_b0": 1752}  # images/s; see `published`
COLUMNS = [
    "seconds",
    "images/s",
    "waits for data",
    "peak memory, MB",
    "maximum resident, MB",
    "(c) is faster",
    "with preparation",
]
TITLES = {
    "resnet18": "resnet18, fine-tuned",
    "efficientnet_b0": "efficientnet_b0, fine-tuned",
    "features": "resnet18, feature_extraction",
}


def ratios(runs: dict[str, list[dict[str, Any]]], over: str, extra: float = 0.0) -> list[float]:
    """How many times as fast as `over` (c) was, repetition by repetition; `extra`: seconds added to (c)."""
    return [o["seconds"] / (c["seconds"] + extra) for o, c in zip(runs[over], runs["c"], strict=True)]


def spread(values: list[float], digits: int = 1) -> str:
    """Median (least–most)."""
    middle, low, high = (f"{v:.{digits}f}" for v in (statistics.median(values), min(values), max(values)))
    return f"{middle} ({low}–{high})"


def page(
    options: Namespace,
    films: dict[str, Any],
    results: dict[str, dict[str, Any]],
    memory: dict[int, dict[str, Any]],
    fastai: str | None,
    machine: str,
) -> str:
    preparation = films["seconds"]["preprocess"] * (films["train"] + films["val"]) / films["prepared"]
    source = "images of a folder" if options.images else f"synthetic films of {options.film} px"
    lines = [
        f"{machine}. {films['train']} training and {films['val']} validation images ({source}), {options.size} px, "
        f"batches of {options.batch_size}, {options.repetitions} repetitions in turns: median (least–most). Random "
        "weights: speed does not depend on their values.",
        "",
        "Preparing these images once, before (c) can start: "
        + ", ".join(f"{stage} {s:.1f} s" for stage, s in films["seconds"].items())
        + f". `with preparation` adds preprocess to (c) ({preparation:.1f} s for these images).",
        "",
        f"fastai {fastai}." if fastai else "**(b) is missing: fastai is not installed; see benchmarks/README.md.**",
        *(line for task, found in results.items() for line in table(task, found, films, preparation)),
        *(memory_table(memory) if memory else []),
    ]
    return "\n".join(lines) + "\n"


def table(task: str, found: dict[str, Any], films: dict[str, Any], preparation: float) -> list[str]:
    runs, epochs = found["runs"], found["job"]["epochs"]
    lines = [
        "",
        f"### {TITLES[task]}, {epochs} epochs",
        "",
        f"| {' | '.join(['', *COLUMNS])} |",
        "|---" * (1 + len(COLUMNS)) + "|",
    ]
    for contender, measured in runs.items():
        seconds = [r["seconds"] for r in measured]
        rate = [films["train"] * epochs / s for s in seconds]
        other = contender != "c"
        workers = f", {found['workers'][contender]} workers" if other else ""
        cells = [
            NAMES[contender] + workers,
            spread(seconds),
            spread(rate),
            f"{statistics.median(r['waits'] for r in measured):.0%}",
            f"{max(r['peak'] for r in measured):.0f}",
            f"{max(r['maxrss'] for r in measured):.0f}",
            f"{spread(ratios(runs, contender), 2)}×" if other else "",
            f"{spread(ratios(runs, contender, preparation), 2)}×" if other else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    bars = [("a", BARS[task]), *([("b", 1.0)] if "b" in runs else [])]
    return [*lines, "", *(verdict(runs, over, bar) for over, bar in bars), *published(found["job"])]


def verdict(runs: dict[str, list[dict[str, Any]]], over: str, bar: float) -> str:
    got = statistics.median(ratios(runs, over))
    return f"- (c) over ({over}): {got:.2f}×, bar {bar:g}×: {'reached' if got >= bar else '**not reached**'}."


def published(job: dict[str, Any]) -> list[str]:
    """timm's own figure, beside a measurement on a GPU (results/benchmark-train-amp-nhwc-pt112-cu113-rtx3090.csv in its
    repository; it publishes training figures for that card alone)."""
    if not gpu_name() or job["strategy"] != "fine_tune":
        return []
    return [
        f"- timm publishes {TIMM[job['network']]:,} images/s for {job['network']} on an RTX 3090 (mixed precision, "
        "channels last, batches of 512, images already on the card)."
    ]


def memory_table(memory: dict[int, dict[str, Any]]) -> list[str]:
    added = {rows: m["peak"] - m["anonymous_before"] for rows, m in memory.items()}
    reached = all(mb <= MEMORY_BAR for mb in added.values())
    return [
        "",
        "### Memory by number of images (resnet18, fine-tuned, a few steps)",
        "",
        "| images | after the imports, MB | training adds, MB | maximum resident, MB |",
        "|---|---|---|---|",
        *(
            f"| {rows:,} | {m['anonymous_before']:.0f} | {added[rows]:.0f} | {m['maxrss']:.0f} |"
            for rows, m in memory.items()
        ),
        "",
        f"- Bar {MEMORY_BAR} MB (the model counted in): {'reached' if reached else '**not reached**'}.",
    ]


def machine() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = f"{names[0] if names else platform.processor()}, {cores} cores"
    gpu = gpu_name()
    return f"{gpu}; {found}" if gpu else found


def gpu_name() -> str | None:
    try:
        return next((Path(p) / "information").read_text().split("Model:")[1].splitlines()[0].strip() for p in gpus())
    except StopIteration:
        return None


def gpus() -> list[Path]:
    folder = Path("/proc/driver/nvidia/gpus")
    return sorted(folder.iterdir()) if folder.exists() else []
