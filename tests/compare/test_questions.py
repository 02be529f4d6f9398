"""Groups of models that differ in one thing: on planted scores, against means by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from stages.compare.numbers.families import family
from stages.compare.numbers.questions import QUESTIONS, answers
from stages.compare.page.questions import sentence

from ..planted import SCORE, planted

SCORES = {
    ("from_scratch", 20): 0.6, ("feature_extraction", 20): 0.7, ("fine_tune", 20): 0.8,
    ("from_scratch", 90): 0.8, ("feature_extraction", 90): 0.82, ("fine_tune", 90): 0.9,
}  # fmt: skip


def members_of(cells, networks):
    """What questions read of each training. `networks`: backbone -> what its library calls it."""
    return [
        SimpleNamespace(
            summary={
                "settings": {"strategy": {"plan": row.strategy}, "backbone": {"name": networks[row.backbone]}},
                "seconds": {"from_scratch": 10.0, "feature_extraction": 5.0, "fine_tune": 20.0}[row.strategy],
            }
        )
        for row in cells.trainings.itertuples()
    ]


def asked(scores, **options):
    cells = planted(list(scores.values()), list(scores), **options)
    return answers(cells, members_of(cells, {"b": "resnet18"}))


def test_differences_are_those_of_the_means_of_what_both_sides_share():
    table = asked(SCORES, patients=1e-4).set_index(["question", "sample"])["difference"]
    assert table["transfer", "20"] == pytest.approx(0.75 - 0.6, abs=1e-3)
    assert table["transfer", "90"] == pytest.approx(0.86 - 0.8, abs=1e-3)
    assert table["transfer", ""] == pytest.approx((0.15 + 0.06) / 2, abs=1e-3)
    assert table["tuning", "20"] == pytest.approx(0.1, abs=1e-3)
    assert "family" not in table.index


def test_sides_of_different_size_weigh_the_same_in_every_part():
    """Without one strategy at one size, its easy images do not count for one side alone."""
    scores = {name: value for name, value in SCORES.items() if name != ("feature_extraction", 90)}
    table = asked(scores, patients=1e-4).set_index(["question", "sample"])["difference"]
    assert table["transfer", ""] == pytest.approx((0.15 + 0.1) / 2, abs=1e-3)


def test_without_both_sides_there_is_no_question():
    assert asked({("fine_tune", 20): 0.8, ("fine_tune", 90): 0.9}).empty
    transfer = asked({("from_scratch", 20): 0.8, ("fine_tune", 20): 0.9})
    assert transfer["question"].tolist() == ["transfer"]
    assert transfer["time_ratio"].tolist() == [2.0]


def test_families_are_compared_under_the_same_strategy():
    cells = planted(list(SCORES.values()), list(SCORES), patients=1e-3)
    trainings = cells.trainings.assign(backbone=["a", "a", "b"] * 6)  # of three seeds two CNNs and a transformer
    trainings = trainings.assign(seed=[0, 1, 0] * 6)
    cells = type(cells)(trainings, cells.draws, cells.table)
    table = answers(cells, members_of(cells, {"a": "resnet18", "b": "vit_b_16"}))
    rows = table[table["question"] == "family"]
    assert set(rows["within"]) == {"from_scratch", "feature_extraction", "fine_tune", "all"}
    assert set(rows["a"]) == {"a", ""}
    assert set(rows["b"]) == {"b", ""}
    assert (rows["seeds"] == 1).all()


def test_every_declared_backbone_has_a_family_and_an_unknown_name_has_none():
    declared = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())["backbones"]
    families = {entry["name"]: family(entry["name"]) for entry in declared.values()}
    assert None not in families.values()
    assert families["vit_b_16"] == families["vit_base_patch16_224"] == "transformer"
    assert families["inception_resnet_v2"] == families["tf_efficientnet_lite0"] == "CNN"
    assert family("my_net") is None


def test_words_claim_a_difference_only_where_the_interval_excludes_zero():
    study = SimpleNamespace(measure=SCORE)
    table = asked(SCORES, patients=1e-3)
    text = sentence(QUESTIONS[0], table[table["question"] == "transfer"], study)
    assert text.startswith(
        "Pretrained models are better than from-scratch models: the mean over 2 comparisons, score +0.1"
    )
    assert text.endswith("They took 1.25 times the training time.")
    vague = asked(SCORES, patients=2.0)
    text = sentence(QUESTIONS[0], vague[vague["question"] == "transfer"], study)
    assert "are not shown to differ from" in text
    assert "No single comparison shows a difference." in text
    once = asked({("from_scratch", 20): 0.8, ("fine_tune", 20): 0.9}, seeds=1)
    assert "Each was trained once: this is about these models." in sentence(QUESTIONS[0], once, study)
