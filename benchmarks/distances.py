"""Distances between masks, beside MONAI's: CPU time of HD95, mean surface distance and surface Dice of the same masks.

    python benchmarks/distances.py                     # 200 pairs of 512 px, some minutes: MONAI takes most of them
    python benchmarks/distances.py --masks 1000 --size 1024 --only ours

Pairs of lung fields, the second with another outline. A pair is measured by both, one after the other, on one core;
the ratio is of the sums. The three numbers of all pairs are compared: they are the same.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from stages.shared.measures.surfaces import surface_scores

TOLERANCE = 2.0  # px
Scores = tuple[float, float, float]


def lungs(size: int, rng: np.random.Generator) -> np.ndarray:
    """Boolean: two ellipses with a wavy outline."""
    y, x = np.mgrid[:size, :size] / size
    mask = np.zeros((size, size), bool)
    for centre in (0.3, 0.7):
        off, waves = rng.normal(0, 0.01, 4), rng.uniform(0, 6)
        radius = 1 + 0.05 * np.sin(5 * np.arctan2(y - 0.5, x - centre) + waves)
        mask |= ((x - centre - off[0]) / (0.15 + off[1])) ** 2 + ((y - 0.5 - off[2]) / (0.3 + off[3])) ** 2 < radius
    return mask


def ours(predicted: np.ndarray, truth: np.ndarray) -> Scores:
    scores = surface_scores(predicted, truth, TOLERANCE)
    return scores.hd95, scores.mean, scores.dice


def monais() -> Callable[[np.ndarray, np.ndarray], Scores]:
    import torch
    from monai import metrics

    torch.set_num_threads(1)

    def scores(predicted: np.ndarray, truth: np.ndarray) -> Scores:
        a, b = (torch.from_numpy(mask)[None, None] for mask in (predicted, truth))
        given = {"y_pred": a, "y": b, "include_background": True}
        return (
            float(metrics.compute_hausdorff_distance(**given, percentile=95)),
            float(metrics.compute_average_surface_distance(**given, symmetric=True)),
            float(metrics.compute_surface_dice(**given, class_thresholds=[TOLERANCE])),
        )

    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--masks", type=int, default=200, help="pairs (default 200)")
    parser.add_argument("--size", type=int, default=512, help="px (default 512)")
    parser.add_argument("--only", choices=["ours"], help="without MONAI")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")  # MONAI's about its own deprecations
    ways = {"ours": ours} | ({} if options.only else {"MONAI": monais()})
    rng = np.random.default_rng(0)
    seconds, values = dict.fromkeys(ways, 0.0), {name: list[Scores]() for name in ways}
    for i in range(-1, options.masks):  # the first pair warms up
        pair = lungs(options.size, rng), lungs(options.size, rng)
        for name, way in ways.items():
            start = time.process_time()
            scores = way(*pair)
            if i >= 0:
                seconds[name] += time.process_time() - start
                values[name].append(scores)
    for name, total in seconds.items():
        print(f"{name}: {total:.2f} s of CPU for {options.masks:,} pairs of {options.size} px")
    if "MONAI" in ways:
        apart = np.abs(np.array(values["ours"]) - np.array(values["MONAI"])).max(axis=0)
        print(f"ratio {seconds['MONAI'] / seconds['ours']:.1f}")
        print("largest difference in HD95 {:.1e} px, mean distance {:.1e} px, surface Dice {:.1e}".format(*apart))


if __name__ == "__main__":
    main()
