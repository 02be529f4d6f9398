from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from stages import compare
from stages.compare.figures import plans
from stages.compare.numbers.comparison import analyse
from stages.shared.core.errors import UserError

BLOCKS = ["stem", "block1", "head"]


def table(lr: list[list[float]], blocks: list[str] = BLOCKS) -> pd.DataFrame:
    """`lr`: a row per epoch."""
    rows = [(e, s, v) for e, values in enumerate(lr) for s, v in zip(blocks, values, strict=True)]
    return pd.DataFrame(rows, columns=["epoch", "block", "lr"])


def matrix(backbones: int, strategies: int, samples: int = 1) -> tuple[pd.DataFrame, dict[str, SimpleNamespace]]:
    rows, members = [], {}
    for b, s, x in product(range(backbones), range(strategies), range(samples)):
        key = f"b{b}-s{s}-x{x}"
        rows.append({"key": key, "backbone": f"b{b}", "strategy": f"s{s}", "sample": f"x{x}", "train_images": 9})
        members[key] = SimpleNamespace(plan=table([[np.nan, 1e-4 * (s + 1), 1e-3]] * (2 + x)))
    return pd.DataFrame(rows), members


def panels(fig: plans.Figure) -> list[plans.Axes]:
    return [ax for ax in fig.axes if ax.images]


def test_the_head_is_on_top_and_the_stem_at_the_bottom():
    wide = plans.grid(table([[np.nan, 1e-4, 1e-3], [1e-5, 1e-4, 1e-3]]))
    assert list(wide.index) == ["head", "block1", "stem"]
    assert np.isnan(wide.loc["stem", 0])
    assert wide.loc["stem", 1] == 1e-5


def test_the_scale_is_of_whole_decades_and_common_to_all_panels():
    norm = plans.scale([table([[np.nan, 1e-5, 1e-3]]), table([[np.nan, np.nan, 1e-2]])])
    assert (norm.vmin, norm.vmax) == (-5, -2)
    assert plans.scale([table([[1e-3] * 3])]).vmin == pytest.approx(-4)  # one rate only
    assert plans.scale([table([[1e-30, 0, 1]])]).vmin == -plans.DECADES
    assert plans.scale([table([[np.nan] * 3])]).vmin < 0


def test_a_frozen_cell_has_no_colour_and_a_fast_one_more_than_a_slow_one():
    _, axes = plans.figure(3, 2)
    plans.panel(axes[0, 0], plans.grid(wide := table([[np.nan, 2e-4, 1e-3], [0.0, 2e-4, 1e-3]])), plans.scale([wide]))
    head, block, stem = (image.get_array()[0, :, 3] for image in axes[0, 0].images)
    assert stem[0] == 0 < stem[1] < block[0] < head[0]
    (hatched,) = axes[0, 0].patches
    assert (hatched.get_x(), hatched.get_width()) == (0.5, 1)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [([0, 0], []), ([1, 1, 0], [(0, 2)]), ([0, 1, 0, 1, 1], [(1, 2), (3, 5)]), ([1], [(0, 1)])],
)
def test_spells_are_unbroken_runs(flags: list[int], expected: list[tuple[int, int]]):
    assert plans.spells(np.array(flags, bool)) == expected


@pytest.mark.parametrize(
    ("rate", "text"), [(1e-3, "1e-3"), (2.5e-4, "2.5e-4"), (9.98e-4, "1e-3"), (1.0, "1e0"), (0.0, "0")]
)
def test_rates_are_written_short(rate: float, text: str):
    assert plans.short(rate) == text


def test_samples_share_a_panel_that_shows_the_longest_training():
    board, members = matrix(1, 2, samples=3)
    shown = plans.shown(board, members)
    assert list(shown) == [("b0", "s0"), ("b0", "s1")]
    assert all(plan.epoch.max() == 3 for plan in shown.values())


@pytest.mark.parametrize(("backbones", "strategies"), [(1, 1), (2, 3), (1, 7), (6, 5)])
def test_every_backbone_and_strategy_has_its_panel(backbones: int, strategies: int):
    board, members = matrix(backbones, strategies)
    fig = plans.plans(board, members)
    assert len(panels(fig)) == backbones * strategies
    assert plans.left_out(board, members) == 0


def test_a_pair_without_a_model_leaves_its_place_empty():
    board, members = matrix(2, 3)
    board = board[board.key != "b1-s0-x0"]
    fig = plans.plans(board, members)
    assert len(panels(fig)) == 5
    titled = [ax for ax in panels(fig) if ax.get_title(loc="left") == "s1"]
    assert len({round(ax.get_position().x0, 3) for ax in titled}) == 1


def test_what_does_not_fit_is_counted():
    board, members = matrix(11, 4)
    assert len(panels(plans.plans(board, members))) == plans.LIMIT
    assert plans.left_out(board, members) == 4


def test_long_names_break_near_the_middle():
    assert plans.broken("linear_probe_fine_tune", 20) == "linear_probe_\nfine_tune"
    assert plans.broken("fine_tune", 20) == "fine_tune"
    assert plans.broken("x" * 30, 20) == "x" * 30


def test_the_page_shows_the_plan_of_every_strategy(compared: dict[str, Path]):
    html = (compared["binary"] / "index.html").read_text(encoding="utf-8")
    section = re.search(r'<section id="plans">.*?</section>', html, re.S)[0]
    for name in ("from_scratch", "feature_extraction", "fine_tune", "block4", "head", "frozen"):
        assert f">{name}<" in section
    assert "share its plan" in section
    assert "not shown" not in section


def test_a_plan_without_rates_names_the_file_and_the_command(project: Path, params: Callable[..., compare.Params]):
    path = project / "reports/train/small_cnn-fine_tune-full/plan.csv"
    path.write_text("epoch,block\n0,head\n")
    with pytest.raises(UserError, match=r"fine_tune-full/plan.csv: not readable.*dvc repro -f train@small_cnn"):
        analyse(params())
