import pytest

from stages.shared.errors import UserError
from stages.train.params import FeatureExtraction, FineTune, FromScratch
from stages.train.plan import make_plan

STAGES = ["stem", "block1", "block2", "block3"]


def test_from_scratch_lets_everything_learn_at_full_rate():
    plan = make_plan(FromScratch(plan="from_scratch"), STAGES, 3)
    assert plan == [{"stem": 1.0, "block1": 1.0, "block2": 1.0, "block3": 1.0, "head": 1.0}] * 3


def test_feature_extraction_lets_only_the_head_learn():
    (epoch,) = make_plan(FeatureExtraction(plan="feature_extraction"), STAGES, 1)
    assert {name for name, rate in epoch.items() if rate is not None} == {"head"}


def test_the_head_alone_may_learn_faster():
    (epoch,) = make_plan(FeatureExtraction(plan="feature_extraction", head_lr=10), STAGES, 1)
    assert epoch["head"] == 10


@pytest.mark.parametrize(("count", "learning"), [(1, {"block3"}), (2, {"block2", "block3"}), ("all", set(STAGES))])
def test_fine_tune_lets_the_last_stages_learn_at_their_own_rate(count, learning):
    (epoch,) = make_plan(FineTune(plan="fine_tune", last_stages=count, backbone_lr=0.1), STAGES, 1)
    assert {n for n, rate in epoch.items() if rate == 0.1} == learning
    assert epoch["head"] == 1.0
    assert {n for n, rate in epoch.items() if rate is None} == set(STAGES) - learning


def test_every_plan_names_every_group_in_every_epoch():
    for strategy in (FromScratch(plan="from_scratch"), FineTune(plan="fine_tune", last_stages=3)):
        assert all(list(epoch) == [*STAGES, "head"] for epoch in make_plan(strategy, STAGES, 5))


def test_more_stages_than_there_are_names_them():
    with pytest.raises(UserError, match=r"last_stages is 9.*4 stages \(stem, block1, block2, block3\)"):
        make_plan(FineTune(plan="fine_tune", last_stages=9), STAGES, 1)
