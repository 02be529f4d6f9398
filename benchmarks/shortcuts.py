"""How often the shortcut meter warns of what is not there: labels dealt anew to the patients of data/raw.zip, so that
nothing can tell them. Run it where `dvc repro validate` has run.

    python benchmarks/shortcuts.py [--permutations 200] [--bars 0.5 0.55 0.6]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from stages.shared.core.groups import groups as groups_of
from stages.shared.core.paths import MANIFEST, RAW
from stages.shared.images.archive import Archive
from stages.shared.images.decode import decode
from stages.validate.inspection import THUMBNAIL
from stages.validate.shortcuts.evidence import all_evidence
from stages.validate.shortcuts.measure import LEVEL
from stages.validate.shortcuts.meter import folds_of, out_of_fold, read


def thumbnails(paths: list[str]) -> np.ndarray:
    """uint8 N×T×T."""
    archive, side = Archive(RAW), (THUMBNAIL, THUMBNAIL)
    return np.stack([np.asarray(decode(archive.read(p), p).convert("L").resize(side)) for p in paths])


def lowest_ends(rows: pd.DataFrame, permutations: int) -> pd.DataFrame:
    """The low end of each meter's interval, one row per permutation of the labels over the groups."""
    labels, groups = np.asarray(rows["label"].cat.codes, int), groups_of(rows["patient"], rows["cluster"])
    kinds = {k.name: k for k in all_evidence(rows, thumbnails(rows["path"].tolist()), [], "") if k.features is not None}
    of_group = labels[np.unique(groups, return_index=True)[1]]
    rng, lines = np.random.default_rng(0), []
    for _ in range(permutations):
        dealt = rng.permutation(of_group)[groups]
        fold, level = folds_of(dealt, groups), 1 - (1 - LEVEL) / len(kinds)
        readings = {name: read(out_of_fold(k.features, dealt, fold), dealt, groups, level) for name, k in kinds.items()}
        lines.append({name: reading.low for name, reading in readings.items()})
    return pd.DataFrame(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--permutations", type=int, default=200)
    parser.add_argument("--images", type=int, default=100_000, help="use so many, whole patients")
    parser.add_argument("--bars", type=float, nargs="+", default=[0.5, 0.55, 0.6])
    arguments = parser.parse_args()
    manifest = pd.read_parquet(Path(MANIFEST))
    rows = manifest[~manifest["quarantined"]].reset_index(drop=True)
    patients = np.random.default_rng(1).permutation(rows["patient"].unique())
    kept = rows["patient"].map({name: place for place, name in enumerate(patients)}).argsort().iloc[: arguments.images]
    rows = rows.iloc[np.sort(kept)].reset_index(drop=True)
    low = lowest_ends(rows, arguments.permutations)
    print(f"{len(rows)} images of {rows['patient'].nunique()} patients, {len(low)} permutations")
    for bar in arguments.bars:
        print(f"bar {bar:.2f}: any warning in {(low > bar).any(axis=1).mean():.1%}; {(low > bar).mean().to_dict()}")


if __name__ == "__main__":
    main()
