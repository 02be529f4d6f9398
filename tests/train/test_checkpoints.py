import shutil

import pytest

from stages.shared.core.code import STAGES
from stages.shared.core.paths import Key
from stages.train.loop.checkpoints import Checkpoints, name_of
from stages.train.machine.machine import Machine
from stages.train.start.start import Start

KEY = Key("small_cnn", "fine_tune", "full")
START = Start("w.safetensors", "lightbox", "small_cnn", None, "ab12")


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    """A copy of the stages' code, which a test may edit; the name of a training under it."""
    root = tmp_path_factory.mktemp("code") / "stages"
    shutil.copytree(STAGES, root, ignore=shutil.ignore_patterns("__pycache__"))
    return root


@pytest.mark.parametrize(
    ("file", "before", "after", "same"),
    [
        ("train/recipe/mixing.py", '"""mixup and cutmix', '"""mixup, cutmix', True),
        ("train/params/__init__.py", '"""At most so many."""', '"""The most."""', True),
        ("train/report.py", "best_epoch", "kept_epoch", True),
        ("shared/core/progress.py", "LINE_EVERY = 10.0", "LINE_EVERY = 20.0", True),
        ("train/machine/machine.py", "self.accumulate * self.world", "self.accumulate + self.world", False),
        ("train/batches.py", ">> 1", ">> 2", False),
        ("train/recipe/optimizers.py", "p.ndim > 1", "p.ndim > 2", False),
        ("train/stage.py", "task.target(arrays)", "task.target(arrays) + 1", False),
        ("shared/model/model.py", "/ 255", "/ 256", False),
    ],
)
def test_a_checkpoint_is_lost_to_an_edit_only_where_the_numbers_change(code, train_params, file, before, after, same):
    path, params = code / file, train_params().model_dump(mode="json")
    name, text = name_of(KEY, params, "data", START, code), (code / file).read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    edited = name_of(KEY, params, "data", START, code)
    path.write_text(text)
    assert (edited == name) is same


def test_the_name_follows_what_the_numbers_depend_on_and_nothing_else(train_params):
    def name(data="data", start=START, key=KEY, **changes):
        return name_of(key, train_params(**changes).model_dump(mode="json"), data, start)

    others = [
        name(data="other"),
        name(start=None),
        name(start=Start("w.safetensors", "lightbox", "small_cnn", None, "cd34")),
        name(key=Key("small_cnn", "fine_tune", "tenth")),
        name(epochs=4),
        name(accumulate=2),
        name(cache={"views": 2}),
    ]
    assert len({name(), *others}) == 1 + len(others)
    assert name(workers=3) == name(auto_batch=True) == name(cache={"max_gb": 1.0}) == name()


def test_a_training_goes_on_with_the_choices_it_began_with(tmp_path):
    kept, first = Checkpoints(tmp_path), Machine(precision="bf16-mixed", channels_last=False, accumulate=2, workers=3)
    assert kept.keep_choices(first) == first
    assert kept.keep_choices(Machine()) == Machine(precision="bf16-mixed", channels_last=False, accumulate=2)
    assert kept.keep_choices(Machine(accumulate=4)).accumulate == 4  # memory did not suffice
    assert kept.keep_choices(Machine(accumulate=1)).accumulate == 4


def test_only_the_first_process_writes_the_choices(tmp_path):
    assert Checkpoints(tmp_path).keep_choices(Machine(rank=1, world=2)) == Machine(rank=1, world=2)
    assert not list(tmp_path.iterdir())
