from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.shared.figures import style


def draw() -> style.Figure:
    fig, axes = style.figure(3, 2, rows=1, cols=2)
    axes[0, 0].plot([0, 1, 2], [2, 0, 1], label="curve")
    axes[0, 0].legend()
    axes[0, 1].imshow(np.arange(12).reshape(3, 4))
    return fig


def test_the_same_drawing_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (style.save(draw(), tmp_path / name) for name in ("a.png", "b.png"))
    assert first.read_bytes() == second.read_bytes()
    assert "Software" not in Image.open(first).info


def test_size_in_inches_and_axes_always_two_dimensional(tmp_path: Path) -> None:
    fig, axes = style.figure(5, 4)
    assert axes.shape == (1, 1)
    assert style.figure(5, 4, rows=2, cols=3)[1].shape == (2, 3)
    assert Image.open(style.save(fig, tmp_path / "x.png")).size == (5 * style.DPI, 4 * style.DPI)


def test_nothing_is_left_when_writing_fails(tmp_path: Path) -> None:
    fig, axes = style.figure(3, 2)
    axes[0, 0].set_title("$\\no$")  # mathtext that cannot be drawn
    with pytest.raises(ValueError, match="Unknown symbol"):
        style.save(fig, tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []


def test_a_strategy_keeps_its_colour_whatever_stands_beside_it() -> None:
    alone = style.strategy_colours(["fine_tune"])["fine_tune"]
    among = style.strategy_colours(["mine", "from_scratch", "fine_tune", "yours"])
    assert list(among) == ["mine", "from_scratch", "fine_tune", "yours"]
    assert among["fine_tune"] == alone
    assert len(set(among.values())) == 4


def test_full_is_the_solid_disc_and_samples_differ() -> None:
    marks = style.sample_marks(["tenth", "full", "half"])
    assert marks["full"] == ("o", "-")
    assert len({marker for marker, _ in marks.values()}) == 3


def test_importing_it_loads_no_pyplot() -> None:
    code = "import sys, stages.shared.figures.style; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
