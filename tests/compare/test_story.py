from __future__ import annotations

import pandas as pd

from stages.compare import story


def contrast(strategy: str, images: int, val: float, difference: float, verdict: str) -> dict[str, object]:
    low, high = difference - 0.05, difference + 0.05
    return {
        "backbone": "cnn", "sample": f"n{images}", "train_images": images, "strategy": strategy, "auroc": 0.8 + difference,
        "auroc_low": 0.7, "auroc_high": 0.9, "baseline_auroc": 0.8, "baseline_low": 0.75, "baseline_high": 0.85,
        "val_auroc": val, "difference": difference, "low": low, "high": high, "verdict": verdict,
    }  # fmt: skip


TABLE = pd.DataFrame(
    [
        contrast("fine_tune", 400, 0.90, 0.01, "undecided"),
        contrast("fine_tune", 40, 0.80, 0.12, "better"),
        contrast("feature_extraction", 40, 0.85, 0.08, "better"),
        contrast("feature_extraction", 400, 0.88, 0.04, "undecided"),
    ]
)


def test_the_headline_strategy_is_chosen_on_validation_not_on_test() -> None:
    picks = story.chosen(TABLE)
    assert list(picks.train_images) == [40, 400]
    assert list(picks.strategy) == ["feature_extraction", "fine_tune"]  # each has the lower test AUROC of the two


def test_the_verdict_claims_only_what_the_interval_shows() -> None:
    assert story.verdict(story.chosen(TABLE)) == "With 40 training images, yes. With 400, not shown."
    worse = pd.DataFrame([contrast("fine_tune", 40, 0.8, -0.1, "worse")])
    assert story.verdict(worse) == "With 40 training images, no: it hurt."


def test_findings_carry_numbers_and_intervals() -> None:
    board = pd.DataFrame(
        {
            "key": ["a", "b"],
            "auroc": [0.9, 0.8],
            "auroc_low": 0.7,
            "auroc_high": 0.95,
            "confidence": 0.9,
            "tie": [True, True],
        }
    )
    heading, text = story.findings(story.chosen(TABLE), board, "from_scratch", 120)[0]
    assert heading == "40 training images (n40)"
    assert "0.880 [0.700–0.900], from_scratch 0.800 [0.750–0.850]" in text
    assert "+0.080 with a 90% interval of +0.030 to +0.130, which excludes zero." in text
    assert story.top(board).endswith("but 1 of the 1 other models cannot be told apart from it on these images.")


def test_the_question_fits_the_matrix() -> None:
    assert story.question(TABLE.iloc[:0]) == "Which model reads these images best?"
    assert story.question(TABLE.iloc[:1]) == "Does transfer help?"
    assert story.question(TABLE) == "Does transfer help, and with how few images?"


def test_numbers_read_well() -> None:
    assert story.signed(-0.0123) == "−0.012"
    assert story.number(float("nan")) == "–"
    assert [story.duration(s) for s in (12.4, 99, 600, 7300)] == ["12 s", "99 s", "10 min", "2 h 02 min"]
