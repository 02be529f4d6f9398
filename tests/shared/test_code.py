import pytest

from stages.shared.core.code import digest_of

CODE = '''
"""What it is for."""


class Settings:
    """What a user may say."""

    rate: float = 1.0
    """How fast."""


def step(weight, slope):
    """One step."""
    return weight - slope  # down the slope
'''
SAME = {
    "docstring of the module": ("What it is for", "What it is good for"),
    "docstring of a class": ("What a user may say", "All that a user may say"),
    "docstring of a field": ("How fast", "Share of the slope"),
    "docstring of a function": ("One step", "A step downwards"),
    "no docstring": ('    """One step."""\n', ""),
    "comment": ("down the slope", "downhill"),
    "layout": ("weight - slope", "(\n        weight\n        - slope\n    )"),
}
OTHER = {
    "operator": ("weight - slope", "weight + slope"),
    "number": ("1.0", "2.0"),
    "name": ("weight, slope", "slope, weight"),
    "string": ("return weight - slope", 'return "weight - slope"'),
}


@pytest.fixture
def digest(tmp_path):
    """The digest of a small project whose file room/step.py has such a content."""

    def write_and_digest(content, **options):
        (tmp_path / "room" / "inner").mkdir(parents=True, exist_ok=True)
        (tmp_path / "room" / "step.py").write_text(content)
        return digest_of("room", root=tmp_path, **options)

    return write_and_digest


@pytest.mark.parametrize("edit", SAME.values(), ids=SAME.keys())
def test_comments_docstrings_and_layout_do_not_count(digest, edit):
    assert CODE.replace(*edit) != CODE
    assert digest(CODE.replace(*edit)) == digest(CODE)


@pytest.mark.parametrize("edit", OTHER.values(), ids=OTHER.keys())
def test_what_the_code_does_counts(digest, edit):
    assert digest(CODE.replace(*edit)) != digest(CODE)


def test_every_file_below_a_folder_counts_unless_it_is_left_out(digest, tmp_path):
    before = digest(CODE)
    (tmp_path / "room" / "inner" / "report.py").write_text("width = 1\n")
    assert digest(CODE) != before
    assert digest(CODE, without=["room/inner"]) == before
    assert digest(CODE, without=["room/inner/report.py"]) == before


def test_a_place_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone: no such code"):
        digest_of("gone", root=tmp_path)


def test_the_code_of_the_stages_is_found():
    assert digest_of("train/loop") == digest_of("train/loop") != digest_of("train/plan")
