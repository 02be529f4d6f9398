"""What a round says of itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from stages.drift import report as drift
from stages.registry import log
from stages.registry.log import Entry, Model
from stages.retrain import loop, summary
from stages.retrain.loop import Question, Round

BOARD = """rank,key,kind,status,metric,auroc,auroc_low,auroc_high,val_auroc,chosen
1,small_cnn-fine_tune-full,model,complete,auroc,0.91,0.85,0.95,0.93,True
2,small_cnn-from_scratch-full,model,complete,auroc,0.8,0.7,0.9,0.81,False
,floor,floor,complete,auroc,0.6,0.5,0.7,,False
"""


def entry(verdict: str, candidate: str, champion: str | None, temporary: bool = False) -> Entry:
    return Entry(
        event="gate", state="decided", id="1", at="2026-11-26T12:00:00Z", who="t", name="lightbox", verdict=verdict,
        reason="Not decided: sensitivity.", candidate=Model(key="a-b-c", digest=candidate),
        champion=Model(key="d-e-f", digest=champion, version="1") if champion else None,
        test=log.TestImages(fingerprint="today", images=1, patients=1, sketch=[]), rules="rules", temporary=temporary,
    )  # fmt: skip


def test_the_leaderboard_is_a_table_of_the_models_and_a_chart(workspace: Path) -> None:
    path = workspace / "leaderboard.csv"
    path.write_text(BOARD)
    text = "\n".join(summary.leaderboard(path))
    assert "| **small_cnn-fine_tune-full** (chosen) | 0.910 | 0.850 to 0.950 | 0.930 |" in text
    assert "floor" not in text
    assert "bar [0.9100, 0.8000]" in text


def test_a_job_of_github_gets_the_same_text_and_it_is_never_too_long(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = workspace / "summary"
    place.write_text("before\n")
    monkeypatch.setenv(summary.VARIABLE, str(place))
    summary.write("# Retraining: rejected\n" + "é" * 99 + "\n" + "x\n" * 600_000)
    for path in (place, summary.FILE):
        text = path.read_text()
        assert len(text.encode()) < 1024 * 1024
        assert "# Retraining: rejected" in text
        assert "Cut here" in text
    assert place.read_text().startswith("before\n")


def test_a_failure_says_that_nothing_was_promoted() -> None:
    text = summary.of_failure("`dvc pull` failed.\nno such host")
    assert "failed" in text
    assert "promoted no model" in text
    assert "no such host" in text


@pytest.mark.parametrize(
    ("outcome", "code", "words"),
    [
        ("promoted", 0, "is champion, version 3"), ("passed", 0, "python -m stages promote"),
        ("unchanged", 0, "Nothing to do"), ("rejected", 3, "the champion stays"), ("undecided", 4, "the champion stays"),
    ],
)  # fmt: skip
def test_exit_codes_and_headlines_agree(outcome: loop.Outcome, code: int, words: str) -> None:
    made = Round(outcome=outcome, candidate="a-b-c", champion="d-e-f (version 2)", version="3")
    assert made.exit_code == code
    assert words in summary.headline(made)


def test_a_decision_is_remembered_for_the_same_question_alone() -> None:
    entries = [entry("undecided", "x", None), entry("reject", "x", "y"), entry("undecided", "x", "y")]
    same = Question("x", "y", "today", "rules")
    assert loop.judged_before(entries, same) is entries[2]
    assert loop.judged_before(entries, replace(same, champion=None)) is entries[0]
    for other in ({"champion": "z"}, {"test": "other images"}, {"rules": "another margin"}, {"candidate": "w"}):
        assert loop.judged_before(entries, replace(same, **other)) is None
    assert loop.judged_before([entries[1].model_copy(update={"rules": None})], same) is None  # an earlier version
    made = Round(outcome="undecided", candidate="a-b-c", judged=entries[2])
    assert "not asked again" in summary.of_round(made)


def test_a_rejection_for_a_temporary_reason_is_no_judgement() -> None:
    same = Question("x", "y", "today", "rules")
    assert loop.judged_before([entry("reject", "x", "y", temporary=True)], same) is None
    assert loop.judged_before([entry("reject", "x", "y", temporary=True), entry("reject", "x", "y")], same) is not None


def test_a_decision_from_before_a_rollback_of_the_model_is_not_remembered() -> None:
    """The gate then rejects it and says why; that decision is remembered, until a person brings the model back."""

    def change(event: Literal["promote", "rollback"], new: str, old: str) -> list[Entry]:
        begun = log.stamped(
            event=event, state="begun", name="lightbox", candidate=Model(key="k", digest=new, version="1"),
            champion=Model(key="k", digest=old, version="2"),
        )  # fmt: skip
        return [begun, log.stamped(event=event, state="done", name="lightbox", id=begun.id)]

    same = Question("x", "y", "today", "rules")
    entries = [entry("promote", "x", "y"), *change("promote", "x", "y")]
    assert loop.judged_before(entries, same) is entries[0]
    entries += change("rollback", "y", "x")
    assert loop.judged_before(entries, same) is None
    entries += [entry("reject", "x", "y")]
    assert loop.judged_before(entries, same) is entries[-1]
    entries += [*change("rollback", "x", "y"), *change("promote", "y", "x")]
    assert loop.judged_before(entries, same) is None


@pytest.mark.parametrize(("verdict", "names"), [("acquisition", ["intervals", "separation"]), ("", ["intervals"])])
def test_pictures_of_an_earlier_drift_are_not_shown(workspace: Path, verdict: str, names: list[str]) -> None:
    for path in (summary.INTERVALS, drift.SEPARATION):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    summary.write("# Retraining: unchanged", summary.pictures(Round(drift=verdict)))
    text = summary.FILE.read_text()
    assert [name for name in ("intervals", "separation", "facts") if f"![{name}](../" in text] == names


def test_why_drift_was_not_measured_is_said() -> None:
    text = summary.of_round(Round(candidate="a-b-c", not_measured="MLflow refused: no such host."))
    assert "drift not measured" in text
    assert "no such host" in text
