"""A round, with its steps replaced: in which order they run, and what a failure leaves."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stages.registry import command as registry
from stages.registry import log
from stages.registry.log import Model
from stages.retrain import command, loop, summary
from stages.retrain.loop import Round
from stages.retrain.params import Params
from stages.shared.core.errors import UserError
from stages.shared.exported.export import Export
from stages.shared.exported.reading import Reading
from stages.shared.exported.source import UnusableImage

PLACE = ("storage", "/mnt/storage")
TODAY = log.TestImages(fingerprint="today", images=1, patients=1, sketch=[])


@pytest.fixture
def calls(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the steps that ran: a round whose candidate passes the gate; nothing was trained."""
    ran: list[str] = []

    def step(name: str, answer: Any = None) -> Any:
        def run(*_: Any, **__: Any) -> Any:
            ran.append(name)
            return answer

        return run

    (workspace / "params.yaml").write_text("registry: {name: chest}")
    monkeypatch.setattr(loop.remote, "chosen", lambda _: PLACE)
    monkeypatch.setattr(loop.remote, "pull", step("pull"))
    monkeypatch.setattr(loop.remote, "push", step("push"))
    monkeypatch.setattr(loop, "run", step("study"))
    monkeypatch.setattr(loop, "after", lambda *_: Round(candidate="a-b-c"))
    monkeypatch.setattr(loop, "export", step("export"))
    monkeypatch.setattr(Export, "read", lambda *_: None)
    monkeypatch.setattr("stages.registry.gate.digest", lambda _: "new")
    monkeypatch.setattr("stages.registry.images.today", lambda: None)
    monkeypatch.setattr("stages.registry.gate.tested_on", lambda _: TODAY)
    monkeypatch.setattr("stages.registry.gate.Rules.of", lambda _: SimpleNamespace(digest="rules"))
    monkeypatch.setattr(registry, "champion_of", lambda _: None)
    monkeypatch.setattr(registry, "gate", step("gate", SimpleNamespace(verdict="promote")))
    monkeypatch.setattr(registry, "promote", step("promote", SimpleNamespace(number="1")))
    return ran


def remember(verdict: str) -> None:
    log.append(
        log.stamped(
            event="gate",
            state="decided",
            name="chest",
            verdict=verdict,
            candidate=Model(key="a-b-c", digest="new"),
            test=TODAY,
            rules="rules",
        )
    )


def test_the_promotion_is_the_last_step(calls: list[str]) -> None:
    assert loop.go(Params(), None, promote=True).outcome == "promoted"
    assert calls == ["pull", "study", "export", "gate", "push", "promote"]


def test_a_remote_that_fails_leaves_the_champion(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise UserError("no such host")

    monkeypatch.setattr(loop.remote, "push", refuse)
    with pytest.raises(UserError, match="no such host"):
        command.run(Namespace(promote=True, jobs=None))
    assert "promote" not in calls
    assert "This round promoted no model" in summary.FILE.read_text()


@pytest.mark.parametrize(
    ("verdict", "promote", "steps"),
    [("promote", True, ["gate", "push", "promote"]), ("promote", False, ["push"]), ("reject", True, ["push"])],
)
def test_a_model_that_passed_earlier_is_judged_again_before_it_is_promoted(
    calls: list[str], verdict: str, promote: bool, steps: list[str]
) -> None:
    """reports/gate is of another machine then, or of another model."""
    remember(verdict)
    loop.go(Params(), None, promote)
    assert calls[3:] == steps


def test_what_failed_for_a_temporary_reason_is_tried_again(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate has passed the model, and then the server was away."""
    works, reasons = registry.promote, [UserError("MLflow refused: no space left")]

    def promote(**values: Any) -> Any:
        if reasons:
            raise reasons.pop()
        return works(**values)

    monkeypatch.setattr(registry, "promote", promote)
    remember("promote")
    with pytest.raises(UserError, match="no space left"):
        loop.go(Params(), None, promote=True)
    assert loop.go(Params(), None, promote=True).outcome == "promoted"
    assert calls[-3:] == ["gate", "push", "promote"]


@pytest.mark.parametrize("change", ["images", "settings", ""])
def test_a_rejected_model_is_judged_again_on_other_images_or_by_other_settings_alone(
    calls: list[str], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    remember("reject")
    if change == "images":
        monkeypatch.setattr("stages.registry.gate.tested_on", lambda _: TODAY.model_copy(update={"fingerprint": "new"}))
    elif change == "settings":
        monkeypatch.setattr("stages.registry.gate.Rules.of", lambda _: SimpleNamespace(digest="another margin"))
    loop.go(Params(), None, promote=False)
    assert ("gate" in calls) == bool(change)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UserError("no image can be read"), "no image can be read"),
        (UnusableImage("data/raw.zip: member 'person12.png' is damaged."), "its mask, cannot be used. The log"),
        (ValueError("person12.png of https://user:secret@host"), "ValueError"),
    ],
)
def test_a_drift_that_cannot_be_measured_is_a_note_and_the_round_goes_on(
    calls: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    reason: str,
) -> None:
    champion = SimpleNamespace(export=None, model=Model(key="d-e-f", digest="old", version="1"))

    def refuse(_: object) -> None:
        raise error

    monkeypatch.setattr(registry, "champion_of", lambda _: champion)
    monkeypatch.setattr("stages.drift.read.unknown", refuse)
    monkeypatch.setattr("stages.registry.report.markdown", lambda _: "")
    assert command.run(Namespace(promote=True, jobs=None)) == 0
    assert calls[-3:] == ["gate", "push", "promote"]
    text = summary.FILE.read_text()
    assert "# Retraining: promoted" in text
    assert reason in text
    assert "person12" not in text
    errors = capsys.readouterr().err
    assert "secret" not in errors
    assert ("person12" in errors) == ("person12" in str(error))  # the log has the details


@pytest.mark.parametrize("error", [RuntimeError("person12.png"), UnusableImage("person12.png: unreadable image.")])
def test_any_failure_leaves_a_summary_and_a_begun_change_is_named(
    calls: list[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def break_down(**_: object) -> None:
        log.append(log.stamped(event="promote", state="begun", name="chest", candidate=Model(key="k", digest="new")))
        raise error

    monkeypatch.setattr(registry, "promote", break_down)
    with pytest.raises(type(error)):
        command.run(Namespace(promote=True, jobs=None))
    text = summary.FILE.read_text()
    assert "# Retraining: failed" in text
    assert "A change of the champion was begun" in text
    assert "person12" not in text


@pytest.mark.parametrize("current", [True, False])
def test_an_export_of_an_earlier_evaluation_or_with_other_sentences_is_made_again(
    monkeypatch: pytest.MonkeyPatch, current: bool
) -> None:
    """As servers ask it (tests/serve/test_export.py)."""
    ran: list[str] = []
    monkeypatch.setattr(loop, "run", lambda _, what: ran.append(what))
    asked: list[tuple[str, str]] = []

    def is_current(key: str, reading: Reading) -> bool:
        asked.append((key, reading.below))
        return current

    monkeypatch.setattr("stages.shared.exported.current.is_current", is_current)
    loop.export("a-b-c", {"serve": {"reading": {"below": "Nothing found."}}})
    assert asked == [("a-b-c", "Nothing found.")]
    assert len(ran) == (not current)
