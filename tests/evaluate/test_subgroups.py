"""Groups of the test images, their scores, and the gaps between them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import recall_score, roc_auc_score

from benchmarks.subgroups import study
from stages.evaluate.evidence.subgroups import COMPUTE, compared
from stages.evaluate.images import describe
from stages.shared.core.errors import UserError
from stages.shared.measures import MEASURES
from stages.shared.measures.gaps import Score, gap
from stages.shared.measures.groupings import groupings
from stages.shared.measures.intervals import support
from stages.shared.measures.judge import Resampling
from stages.shared.measures.measure import Measure

HOW = Resampling(400, 0.95, 0)


def judged(table, min_patients=10, bins=None):
    return compared(table, MEASURES["classification"], COMPUTE["classification"], HOW, min_patients, bins or {})


def test_scores_of_a_group_are_those_of_its_images_alone():
    table = study(np.random.default_rng(0), 60, 1.5)
    section = judged(table)
    for group in section["columns"]["site"]["groups"]:
        rows = table[table.site == group["name"]]
        truth = rows.label == "sick"
        assert group["metrics"]["auroc"]["value"] == pytest.approx(roc_auc_score(truth, rows.prob_sick))
        assert group["metrics"]["sensitivity"]["value"] == pytest.approx(recall_score(truth, rows.predicted == "sick"))
        assert (group["images"], group["patients"]) == (len(rows), rows.patient.nunique())
        assert group["labels"] == rows.label.astype(str).value_counts().to_dict()
    pairs = 3 * 3 * 3  # two of three groups, three columns, three metrics
    assert section["comparisons"] == pairs


def test_a_site_without_skill_is_named_and_nothing_is_where_there_is_none():
    planted = judged(study(np.random.default_rng(1), 120, 4.0, worse=1.0))
    assert planted["columns"]["site"]["gaps"]["auroc"]["shown"]
    assert "C" in {planted["columns"]["site"]["gaps"]["auroc"][end] for end in "ab"}
    assert not any(gap["shown"] for gap in planted["columns"]["contrast"]["gaps"].values())
    tables = [study(np.random.default_rng(100 + seed), 40, 2.0) for seed in range(12)]
    assert sum(judged(table)["shown"] > 0 for table in tables) <= 2


def test_small_groups_are_counted_and_get_no_scores():
    table = study(np.random.default_rng(0), 60, 1.5)
    table.loc[table.patient.isin(["0", "1"]), "site"] = "tiny"
    groups = {group["name"]: group for group in judged(table)["columns"]["site"]["groups"]}
    assert groups["tiny"] | {"labels": None} == {
        "name": "tiny", "images": 4, "patients": 2, "labels": None, "metrics": {},
    }  # fmt: skip


def test_the_interval_of_two_independent_rates_is_newcombe_s():
    """Newcombe 1998, method 10, by Wilson's intervals: 56/70 and 48/80, z of 1.96."""
    wrong = [np.arange(n) < k for k, n in ((56, 70), (48, 80))]
    rng = np.random.default_rng(0)
    scores = []
    for right in wrong:
        n = len(right)
        drawn = rng.binomial(n, right.mean(), 200_000) / n
        rests_on = support([np.ones(n, bool)], np.arange(n))
        scores.append(Score(right.mean(), drawn, Measure("", ""), rests_on))
    own = gap(*scores, 0.95)
    ends = [stats.binomtest(int(s.sum()), len(s)).proportion_ci(0.95, method="wilson") for s in wrong]
    below = np.hypot(0.8 - ends[0].low, ends[1].high - 0.6)
    above = np.hypot(ends[0].high - 0.8, 0.6 - ends[1].low)
    assert [own.value, own.low, own.high] == pytest.approx([0.2, 0.2 - below, 0.2 + above], abs=0.006)
    assert [0.2 - below, 0.2 + above] == pytest.approx([0.0524, 0.3339], abs=5e-4)  # as published


def test_groups_are_thirds_decades_bins_and_folders_that_do_not_follow_the_label():
    ages = [3.0, 17, 25, 31, 39, 64, 71, 88, np.nan]
    table = pd.DataFrame({
        "path": [f"set/{'AB'[i % 2]}/{'normal' if i < 5 else 'sick'}/{i}.png" for i in range(9)],
        "label": ["normal"] * 5 + ["sick"] * 4, "meta_age": ages, "meta_sex": list("FMFMFMFMF"),
        "width": 100.0, "height": 50.0, "brightness": np.arange(9.0), "contrast": 7.0,
    })  # fmt: skip
    found = groupings(table, {})
    columns = {column.name: column for column in found.columns}
    assert columns["meta_age"].order[:3] == ["below 10", "10 to below 20", "20 to below 30"]
    assert columns["meta_age"].of[-1] == "not known"
    assert columns["brightness"].of.tolist() == np.repeat(columns["brightness"].order, 3).tolist()
    assert columns["folder"].of.tolist() == list("ABABABABA")
    assert found.left_out == dict.fromkeys(("Image size", "Contrast"), "the same for all test images")
    binned = {c.name: c for c in groupings(table, {"age": [18, 65]}).columns}["meta_age"]
    assert binned.order == ["below 18", "18 to below 65", "65 and above", "not known"]
    children = table.assign(meta_age=[0.5, 1, 2, 3, 4, 5, 6, 7, np.nan])  # no decade parts them
    (ages_of_children,) = (c for c in groupings(children, {}).columns if c.name == "meta_age")
    assert ages_of_children.order == ["low: up to 2", "middle: up to 4", "high: above 4", "not known"]
    with pytest.raises(UserError, match=r"evaluate.subgroups.bins: 'ages' is not known. Did you mean 'age'"):
        groupings(table, {"ages": [1]})
    with pytest.raises(UserError, match=r"bins.sex: the values are no numbers, such as F"):
        groupings(table, {"sex": [1]})


def test_images_without_a_row_in_the_manifest_are_refused(workspace):
    (workspace / "data").mkdir()
    table = pd.DataFrame({"path": ["a.png", "b.png"]})
    with pytest.raises(UserError, match=r"manifest.parquet: missing. Run `dvc repro validate`"):
        describe(table, pd.DataFrame(index=range(2)))
    facts = {"width": [1], "height": [2], "brightness": [3.0], "contrast": [4.0]}
    pd.DataFrame({"path": ["b.png"], **facts}).to_parquet("data/manifest.parquet")
    with pytest.raises(UserError, match=r"lacks 1 of the 2 images to judge, the first is a.png"):
        describe(table, pd.DataFrame(index=range(2)))
    own = describe(table.iloc[[1]].reset_index(drop=True), pd.DataFrame({"site": ["A"]}))
    assert own.to_dict("records") == [
        {"path": "b.png", "width": 1.0, "height": 2.0, "brightness": 3.0, "contrast": 4.0, "site": "A"}
    ]
