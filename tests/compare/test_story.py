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
    }  # fmt: skip


TABLE = pd.DataFrame(
    [
        contrast("fine_tune", 400, 0.90, 0.01, "undecided"),
        contrast("fine_tune", 40, 0.80, 0.12, "better"),
        contrast("feature_extraction", 40, 0.85, 0.08, "better"),
        contrast("feature_extraction", 400, 0.88, 0.04, "undecided"),
    ]
)


def test_a_difference_that_rounds_to_nothing_has_no_sign() -> None:
    assert [text.signed(v) for v in (-0.0004, 0.0004, -0.0006, 0.01)] == ["0.000", "0.000", "−0.001", "+0.010"]


def test_the_headline_strategy_is_chosen_on_validation_not_on_test() -> None:
    picks = sentences.chosen(TABLE, AUROC)
    assert list(picks.train_images) == [40, 400]
    assert list(picks.strategy) == ["feature_extraction", "fine_tune"]  # each has the lower test AUROC of the two


def test_the_verdict_claims_only_what_the_interval_shows() -> None:
    assert (
        sentences.verdict(sentences.chosen(TABLE, AUROC))
        == "With 40 training images, yes (feature_extraction). With 400, not shown (fine_tune)."
    )
    alike = TABLE.assign(verdict="undecided")
    assert (
        sentences.verdict(sentences.chosen(alike, AUROC))
        == "With 40 training images, not shown (feature_extraction). With 400, not shown (fine_tune)."
    )
    same = sentences.chosen(alike, AUROC).assign(strategy="fine_tune")
    assert sentences.verdict(same) == "Not shown (fine_tune), with 40 and with 400 training images."
    assert sentences.verdict(sentences.chosen(TABLE.iloc[:0], AUROC)) == ""
    worse = pd.DataFrame([contrast("fine_tune", 4000, 0.8, -0.1, "worse")])
    assert sentences.verdict(worse) == "With 4,000 training images, no, it hurt (fine_tune)."


def test_findings_carry_numbers_and_intervals() -> None:
    board = pd.DataFrame(
        {
            "key": ["a", "b"],
            "value": [0.9, 0.8],
            "value_low": 0.7,
            "value_high": 0.95,
            "confidence": 0.9,
            "tie": [True, True],
        }
    )
    heading, finding = sentences.findings(
        sentences.chosen(TABLE, AUROC), board, "from_scratch", 120, TABLE.iloc[:0], AUROC
    )[0]
    assert heading == "40 training images (n40)"
    assert "0.880 [0.700–0.900], from_scratch 0.800 [0.750–0.850]" in finding
    assert "+0.080 with a 90% interval of +0.030 to +0.130, which excludes zero." in finding


def test_findings_on_means_say_how_many_seeds() -> None:
    picks = sentences.chosen(TABLE.assign(seeds=3), AUROC)
    board = pd.DataFrame(
        {"key": ["a"], "value": 0.9, "value_low": 0.7, "value_high": 0.95, "confidence": 0.9, "tie": True}
    )
    means = pd.DataFrame(
        {"backbone": ["cnn"], "strategy": "fine_tune", "sample": "all", "seeds": 3, "value": 0.9, "value_low": 0.8, "value_high": 0.95}
    )  # fmt: skip
    answers = sentences.findings(picks, board, "from_scratch", 120, means, AUROC)
    assert answers[0][0] == "40 training images (n40; 3 seeds)"
    assert answers[0][1].startswith("Transfer helps: +0.080, 90% interval +0.030 to +0.130.")
    assert "120 test images and 3 seeds cannot tell" in answers[1][1]
    assert answers[2][1].endswith(
        "Of the means, the best is 0.900 [0.800–0.950] over 3 seeds: fine_tune of cnn with all."
    )


@pytest.mark.parametrize(
    ("ties", "low", "end"),
    [
        ([True], 0.7, "a has a test AUROC of 0.900 [0.700–0.950], it is the only model here."),
        ([True, False, False], 0.7, "the interval of its difference to every other model excludes zero."),
        ([True, True, False], 0.7, "but 1 of the 2 other models cannot be told apart from it on these images."),
        ([True, True, True], 0.7, "but no other model can be told apart from it on these images."),
        ([True, True], 0.45, "Its interval includes 0.5, the AUROC of a model that guesses."),
    ],
)
def test_the_first_place_is_shared_where_the_intervals_say_so(ties: list[bool], low: float, end: str) -> None:
    board = pd.DataFrame(
        {"key": list("abc")[: len(ties)], "value": 0.9, "value_low": low, "value_high": 0.95, "tie": ties}
    )
    assert sentences.top(board, AUROC).endswith(end)


@pytest.mark.parametrize("sort_by", ["f1", "balanced_accuracy"])
def test_sentences_speak_of_the_metric_that_decides(sort_by: str) -> None:
    measure = MEASURES["classification"].metrics[sort_by]
    board = pd.DataFrame(
        {"key": ["a", "b"], "value": 0.9, "value_low": 0.45, "value_high": 0.95, "confidence": 0.95, "tie": True}
    )
    for seeds in (1, 3):
        picks = sentences.chosen(TABLE.assign(seeds=seeds), measure)
        answers = [
            answer for _, answer in sentences.findings(picks, board, "from_scratch", 120, TABLE.iloc[:0], measure)
        ]
        assert all(f"test {measure.label} of 0." in answer for answer in answers)
        assert "AUROC" not in " ".join(answers)


def test_where_lower_is_better_the_lowest_on_validation_is_chosen() -> None:
    picks = sentences.chosen(TABLE, Measure("error", "error", higher_is_better=False))
    assert list(picks.strategy) == ["fine_tune", "feature_extraction"]


def test_the_question_fits_the_matrix() -> None:
    assert sentences.question(TABLE.iloc[:0]) == "Which model reads these images best?"
    assert sentences.question(TABLE.iloc[:1]) == "Does transfer help?"
    assert sentences.question(TABLE) == "Does transfer help, and with how few images?"


def test_numbers_read_well() -> None:
    assert text.signed(-0.0123) == "−0.012"
    assert text.number(float("nan")) == "–"
    assert [text.duration(s) for s in (12.4, 99, 600, 7300)] == ["12 s", "99 s", "10 min", "2 h 02 min"]
