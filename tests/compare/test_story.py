from __future__ import annotations

import pandas as pd
import pytest

from stages.compare import text
from stages.compare.page import sentences
from stages.shared.measures import MEASURES
from stages.shared.measures.measure import Measure

AUROC = MEASURES["classification"].metrics["auroc"]


def contrast(strategy: str, images: int, val: float, difference: float, verdict: str) -> dict[str, object]:
    low, high = difference - 0.05, difference + 0.05
    return {
        "backbone": "cnn", "sample": f"n{images}", "train_images": images, "strategy": strategy, "value": 0.8 + difference,
        "value_low": 0.7, "value_high": 0.9, "baseline_value": 0.8, "baseline_low": 0.75, "baseline_high": 0.85,
        "val_value": val, "difference": difference, "low": low, "high": high, "verdict": verdict, "seeds": 1,
        "runs": 1, "baseline_runs": 1,
    }  # fmt: skip


TABLE = pd.DataFrame(
    [
        contrast("fine_tune", 400, 0.90, 0.01, "not shown to differ"),
        contrast("fine_tune", 40, 0.80, 0.12, "better"),
        contrast("feature_extraction", 40, 0.85, 0.08, "better"),
        contrast("feature_extraction", 400, 0.88, 0.04, "not shown to differ"),
    ]
)

BOARD = pd.DataFrame(
    {
        "rank": [1, 2], "key": ["a", "b"], "value": [0.9, 0.8], "value_low": 0.7, "value_high": 0.95, "confidence": 0.9,
        "tie": [True, True], "val_value": [0.8, 0.85], "chosen": [False, True], "kind": "model", "one_class": None, "one_class_share": 0.5,
    }
)  # fmt: skip


def test_a_difference_that_rounds_to_nothing_has_no_sign() -> None:
    assert [text.signed(v) for v in (-0.0004, 0.0004, -0.0006, 0.01)] == ["0.000", "0.000", "−0.001", "+0.010"]


def test_the_headline_strategy_is_chosen_on_validation_not_on_test() -> None:
    picks = sentences.chosen(TABLE, AUROC)
    assert list(picks.train_images) == [40, 400]
    assert list(picks.strategy) == ["feature_extraction", "fine_tune"]  # each has the lower test AUROC of the two


def test_with_repeats_the_verdict_answers_about_strategies_with_a_range() -> None:
    picks = sentences.chosen(TABLE.assign(seeds=3), AUROC)
    assert sentences.verdict(picks, "from_scratch", AUROC) == (
        "With 40 training images, yes, better: AUROC +0.080 [+0.030 to +0.130] with feature_extraction. "
        "With 400, not shown to differ: AUROC +0.010 [−0.040 to +0.060] with fine_tune."
    )
    assert sentences.verdict(pd.DataFrame(), "from_scratch", AUROC) == ""  # no baseline in the matrix
    worse = pd.DataFrame([contrast("fine_tune", 4000, 0.8, -0.1, "worse")]).assign(seeds=2)
    assert sentences.verdict(worse, "from_scratch", AUROC) == (
        "With 4,000 training images, no, worse: AUROC −0.100 [−0.150 to −0.050] with fine_tune."
    )


def test_without_repeats_the_verdict_is_about_the_models_and_says_that_each_was_trained_once() -> None:
    picks = sentences.chosen(TABLE, AUROC)
    assert sentences.verdict(picks, "from_scratch", AUROC) == (
        "With 40 training images, the feature_extraction model is better than the from_scratch model. "
        "With 400, the fine_tune model is not shown to differ from the from_scratch model. "
        "Each model was trained once: another run may give another result."
    )
    named = sentences.verdict(picks.assign(backbone="vgg16"), "from_scratch", AUROC, several_backbones=True)
    assert "the vgg16 fine_tune model is not shown to differ from the vgg16 from_scratch model" in named
    mixed = sentences.verdict(picks.assign(seeds=[1, 3]), "from_scratch", AUROC)
    assert mixed.endswith("Where there is no range, each model was trained once: another run may give another result.")


@pytest.mark.parametrize(
    ("runs", "baseline_runs", "reason"),
    [(3, 1, "from_scratch was trained once"), (1, 2, "feature_extraction was trained once"),
     (2, 2, "they have only one seed in common")],
)  # fmt: skip
def test_where_only_one_of_the_two_was_trained_once_the_words_say_so(
    runs: int, baseline_runs: int, reason: str
) -> None:
    picks = sentences.chosen(TABLE.assign(runs=runs, baseline_runs=baseline_runs), AUROC)
    said = sentences.verdict(picks, "from_scratch", AUROC)
    assert said.endswith("Two trained models are compared: another run may give another result.")
    mixed = sentences.verdict(picks.assign(seeds=[1, 3]), "from_scratch", AUROC)
    assert mixed.endswith(
        "Where there is no range, two trained models are compared: another run may give another result."
    )
    (_, finding), *_ = sentences.findings(picks, BOARD, "from_scratch", 120, TABLE.iloc[:0], AUROC)
    assert finding.endswith(f"This is about these two models, not about the two strategies: {reason}.")


def test_sizes_that_their_numbers_do_not_tell_apart_are_named() -> None:
    """Folds of 300 and 301 images are no learning curve."""
    folds = pd.DataFrame([contrast("fine_tune", n, 0.8, 0.1, "better") for n in (300, 301)]).assign(seeds=3)
    picks = sentences.chosen(folds, AUROC)
    assert sentences.verdict(picks, "from_scratch", AUROC).startswith("With 300 training images (n300), yes, better: ")
    assert ". With 301 (n301), yes, better: " in sentences.verdict(picks, "from_scratch", AUROC)
    assert sentences.question(picks, "from_scratch") == "Does transfer help?"


@pytest.mark.parametrize("verdict", ["better", "worse", "not shown to differ"])
def test_one_training_run_is_never_told_as_an_answer_about_transfer(verdict: str) -> None:
    picks = sentences.chosen(TABLE.assign(verdict=verdict), AUROC)
    answers = sentences.findings(picks, BOARD, "from_scratch", 120, TABLE.iloc[:0], AUROC)
    words = " ".join([sentences.question(picks, "from_scratch"), sentences.verdict(picks, "from_scratch", AUROC)])
    words += " ".join(heading + text for heading, text in answers)
    assert not any(word in words.lower() for word in ("transfer", "helps", "hurt", "harm"))
    assert "not about the two strategies: each was trained once" in answers[0][1]


def test_findings_carry_numbers_and_intervals() -> None:
    picks = sentences.chosen(TABLE, AUROC)
    heading, finding = sentences.findings(picks, BOARD, "from_scratch", 120, TABLE.iloc[:0], AUROC)[0]
    assert heading == "40 training images (n40)"
    assert finding.startswith(
        "Of the models compared with from_scratch, feature_extraction (cnn) is the best on validation."
    )
    assert "0.880 [0.700–0.900], from_scratch 0.800 [0.750–0.850]" in finding
    assert "+0.080, 90% interval +0.030 to +0.130, which excludes zero." in finding


def test_findings_on_means_say_how_many_seeds() -> None:
    picks = sentences.chosen(TABLE.assign(seeds=3), AUROC)
    means = pd.DataFrame(
        {"backbone": ["cnn"], "strategy": "fine_tune", "sample": "all", "seeds": 3, "value": 0.9, "value_low": 0.8, "value_high": 0.95}
    )  # fmt: skip
    answers = sentences.findings(picks, BOARD, "from_scratch", 120, means, AUROC)
    assert answers[0][0] == "40 training images (n40; 3 seeds)"
    assert answers[0][1].startswith(
        "feature_extraction (cnn) is better than from_scratch: +0.080, 90% interval +0.030 to +0.130."
    )
    assert "120 test images and 3 seeds are too few to show" in answers[1][1]
    assert answers[-1][1].endswith(
        "Of the means, the best is 0.900 [0.800–0.950] over 3 seeds: fine_tune of cnn with all."
    )


def test_the_model_that_validation_chose_is_named_with_its_place_on_the_test_images() -> None:
    (_, text), *_ = sentences.findings(TABLE.iloc[:0], BOARD, "from_scratch", 120, TABLE.iloc[:0], AUROC)
    assert text.startswith("b has the best validation AUROC, 0.850. On the test images")
    assert text.endswith("it reaches 0.800 [0.700–0.950]: place 2 of 2.")
    with_neighbours = BOARD.assign(kind=["neighbours", "model"])
    (_, text), *_ = sentences.findings(TABLE.iloc[:0], with_neighbours, "from_scratch", 120, TABLE.iloc[:0], AUROC)
    assert text.endswith("place 2 of 2 rows, those of neighbours included.")


def test_a_model_that_predicts_one_class_is_marked_where_it_wins() -> None:
    one_class = BOARD.assign(one_class=["normal", None], one_class_share=[0.995, 0.6])
    assert "predicts “normal” for 99.5% of the test images" in sentences.top(one_class, AUROC)
    assert sentences.notices({}, one_class, {}) == [
        "1 of 2 models predicts one class for nearly all test images; the first of the leaderboard is one of them (“normal”)."
    ]
    assert "“" not in sentences.top(BOARD, AUROC) + " ".join(sentences.notices({}, BOARD, {}))


def test_drawn_images_and_what_the_pretrained_weights_saw_of_them_are_told_from_the_data() -> None:
    start = {"models/pretrained/w.safetensors": {"classes": ["haze", "nodule", "effusion"], "source": "phantom"}}
    drawn, weights = sentences.notices({"phantom": {"findings": ["haze", "normal"]}}, BOARD, start)
    assert "a program drew them" in drawn
    assert weights == (
        "The pretrained weights w.safetensors were trained to tell haze, nodule and effusion apart, on other images drawn "
        "by the same program; haze is a finding of this study as well."
    )
    assert sentences.notices({}, BOARD, {"imagenet": {}}) == []
    (unknown,) = sentences.notices({"patients_known": False}, BOARD, {})
    assert "every image counts as a patient" in unknown


@pytest.mark.parametrize(
    ("ties", "low", "end"),
    [
        ([True], 0.7, "a has a test AUROC of 0.900 [0.700–0.950], it is the only model here."),
        ([True, False, False], 0.7, "the interval of its difference to every other model excludes zero."),
        ([True, True, False], 0.7, "but 1 of the 2 other models is not shown to differ from it on these images."),
        ([True, True, True], 0.7, "but no other model is shown to differ from it on these images."),
        ([True, True], 0.45, "Its interval includes 0.5, the AUROC of a model that guesses."),
    ],
)
def test_the_first_place_is_shared_where_the_intervals_say_so(ties: list[bool], low: float, end: str) -> None:
    board = pd.DataFrame(
        {"key": list("abc")[: len(ties)], "value": 0.9, "value_low": low, "value_high": 0.95, "tie": ties, "one_class": None, "kind": "model"}
    )  # fmt: skip
    assert sentences.top(board, AUROC).endswith(end)


def test_neighbours_in_the_first_place_are_said_to_be_no_model_and_the_first_model_is_named() -> None:
    board = pd.DataFrame(
        {"key": ["a+knn", "b+knn", "b"], "rank": [1, 2, 3], "value": [0.9, 0.8, 0.7], "value_low": 0.6,
         "value_high": 0.95, "tie": [True, True, False], "one_class": None, "kind": ["neighbours", "neighbours", "model"]}
    )  # fmt: skip
    text = sentences.top(board, AUROC)
    assert "1 of the 2 other rows is not shown to differ" in text
    assert text.endswith("cannot be chosen. The first model is b, place 3, with 0.700 [0.600–0.950].")
    assert "cannot be chosen" not in sentences.top(board.iloc[::-1], AUROC)


def test_an_interval_below_chance_is_not_said_to_include_it() -> None:
    board = pd.DataFrame(
        {"key": ["a"], "value": 0.3, "value_low": 0.2, "value_high": 0.4, "tie": True, "one_class": None, "kind": "model"}
    )  # fmt: skip
    text = sentences.top(board, AUROC)
    assert text.endswith("The whole interval is worse than 0.5, the AUROC of a model that guesses.")
    assert "includes" not in text


def test_what_is_not_defined_is_told_as_such() -> None:
    nothing = float("nan")
    board = BOARD.assign(value=nothing, value_low=nothing, value_high=nothing)
    assert sentences.top(board, AUROC) == "The test AUROC is not defined for any model, so no model is first."
    picks = sentences.chosen(TABLE.assign(low=nothing, high=nothing, verdict="not shown to differ"), AUROC)
    (_, finding), *_ = sentences.findings(picks, BOARD, "from_scratch", 120, TABLE.iloc[:0], AUROC)
    assert "The difference is +0.080, without an interval. This is" in finding
    assert text.span(nothing, nothing) == text.DASH


def test_a_size_without_a_validation_value_has_no_headline() -> None:
    without = TABLE["val_value"].where(TABLE["train_images"] == 400)
    assert list(sentences.chosen(TABLE.assign(val_value=without), AUROC).train_images) == [400]
    assert sentences.chosen(TABLE.assign(val_value=float("nan")), AUROC).empty


@pytest.mark.parametrize("sort_by", ["f1", "balanced_accuracy"])
def test_sentences_speak_of_the_metric_that_decides(sort_by: str) -> None:
    measure = MEASURES["classification"].metrics[sort_by]
    for seeds in (1, 3):
        picks = sentences.chosen(TABLE.assign(seeds=seeds), measure)
        answers = [
            answer for _, answer in sentences.findings(picks, BOARD, "from_scratch", 120, TABLE.iloc[:0], measure)
        ]
        assert all(f"{measure.label}" in answer for answer in answers)
        assert "AUROC" not in " ".join(answers)


def test_where_lower_is_better_the_lowest_on_validation_is_chosen() -> None:
    error = Measure("error", "error", higher_is_better=False)
    assert list(sentences.chosen(TABLE, error).strategy) == ["fine_tune", "feature_extraction"]


def test_the_question_fits_the_matrix_and_the_repeats() -> None:
    once, repeated = sentences.chosen(TABLE, AUROC), sentences.chosen(TABLE.assign(seeds=2), AUROC)
    assert sentences.question(TABLE.iloc[:0], "from_scratch") == "Which of these models reads the images best?"
    assert sentences.question(once, "from_scratch") == "Which of these models reads the images best?"
    assert sentences.question(repeated.iloc[:1], "from_scratch") == "Does transfer help?"
    assert sentences.question(repeated, "from_scratch") == "Does transfer help, and with how few images?"
    assert sentences.question(repeated, "fine_tune").startswith("Is another strategy better than fine_tune, and")


def test_numbers_read_well() -> None:
    assert text.signed(-0.0123) == "−0.012"
    assert text.number(float("nan")) == "–"
    assert [text.duration(s) for s in (12.4, 99, 600, 7300)] == ["12 s", "99 s", "10 min", "2 h 02 min"]
