"""Pictures for the page: small, and carried inside it."""

from __future__ import annotations

import io
from base64 import b64encode
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image

from ...shared.core.errors import UserError
from ...shared.figures.style import BAD, GOOD, HEAT, INK, MUTED, figure
from ..read import Data, Member
from .style import plain

SIDE = 168  # pixels of the longer side: twice the size at which the page shows a film, for dense screens


def data_uri(image: Image.Image, side: int = SIDE) -> str:
    """A JPEG of at most `side` pixels, as text."""
    image = image.convert("RGB" if image.mode not in ("L", "RGB") else image.mode)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82, optimize=True)
    return "data:image/jpeg;base64," + b64encode(buffer.getvalue()).decode()


def case_uris(film: Path, heat: Path) -> tuple[str, str]:
    """The film, and the film under its heat map (a grey picture, 0 to 255)."""
    below, above = read(film), read(heat)
    return data_uri(below), data_uri(overlay(below, above))


def overlay(film: Image.Image, heat: Image.Image) -> Image.Image:
    """Where the map is cold the film stays as it is."""
    strength = np.asarray(heat.convert("L").resize(film.size, Image.Resampling.BILINEAR))
    colour = (255 * colormaps[HEAT](strength)[..., :3]).round()
    share = 0.6 * strength[..., None] / 255
    return Image.fromarray((colour * share + np.asarray(film.convert("RGB")) * (1 - share)).round().astype(np.uint8))


def read(path: Path) -> Image.Image:
    """Raises UserError when the picture is missing or damaged."""
    try:
        with Image.open(path) as image:
            return image.copy()
    except OSError as error:
        raise UserError(
            f"{path}: not readable ({error}). Make it again with `dvc repro -f explain@{path.parts[2]}`."
        ) from None


def picture(pixels: np.ndarray) -> Image.Image:
    """(H, W, 1 or 3) uint8."""
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels))


def choose(first: Member, count: int, seed: int) -> list[int]:
    """Rows of `Member.test`: films of different patients, drawn without a look at any prediction, classes in turn."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(first.truth))
    patient, chosen, seen = first.test["patient"].to_numpy(), [], set()
    queues = [[i for i in order if first.truth[i] == c] for c in range(len(first.classes))]
    while len(chosen) < count and any(queues):
        for queue in queues:
            while queue:
                i = queue.pop(0)
                if patient[i] not in seen:
                    seen.add(patient[i])
                    chosen.append(int(i))
                    break
    return chosen[:count]


def pixels_of(data: Data, tests: pd.DataFrame, rows: list[int]) -> list[np.ndarray]:
    at = {path: i for i, path in enumerate(data.index["path"])}
    return [np.asarray(data.images[at[tests["path"].iloc[i]]]) for i in rows]


def sheet(pixels: list[np.ndarray], rows: list[int], models: dict[str, Member]) -> Figure:
    """The static version of the page's panel: films on top, below each what every model read. `models` by label."""
    fig, axes = figure(1.9 + 1.35 * len(rows), 1.9 + 0.26 * len(models), 1, max(len(rows), 1))
    first = next(iter(models.values()))
    for column, (ax, film, i) in enumerate(zip(axes[0], pixels, rows, strict=False)):
        ax.imshow(film.squeeze(), cmap="gray", vmin=0, vmax=255)
        ax.set_axis_off()
        ax.set_title(plain(first.classes[first.truth[i]]), fontsize=8, loc="center")
        for line, (name, m) in enumerate(models.items()):
            at = {"xycoords": "axes fraction", "textcoords": "offset points", "fontsize": 7.5, "va": "top"}
            down = -6 - 17 * line
            right = m.predicted[i] == m.truth[i]
            text = f"{'✓' if right else '✗'} {m.probabilities[i, m.truth[i]]:.2f}"
            ax.annotate(text, (0.5, 0), (0, down), ha="center", color=GOOD if right else BAD, **at)
            if column == 0:
                ax.annotate(name, (0, 0), (-8, down), ha="right", color=INK, **at)
    note = "probability of the true class"
    if len(axes[0]):
        axes[0, 0].annotate(note, (0, 0.5), (-8, 0), xycoords="axes fraction", textcoords="offset points",
                            ha="right", fontsize=7.5, color=MUTED)  # fmt: skip
    return fig
