"""What a gate leaves: criteria, the verdict that follows from them, and on whom they rest. reports/gate/gate.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from ..shared.core.errors import UserError
from ..shared.core.files import read_json, write_json
from ..shared.core.settings import Settings
from .log import Model, TestImages
from .wear import Wear

FOLDER = Path("reports/gate")
FILE = FOLDER / "gate.json"
Answer = Literal["pass", "fail", "undecided"]
Verdict = Literal["promote", "reject", "undecided"]
EXIT_CODES: dict[Verdict, int] = {"promote": 0, "reject": 3, "undecided": 4}


class Estimate(Settings):
    """`low`, `high`: of the estimate at 1 − 2·alpha, so that each end is passed by chance with probability alpha."""

    value: float | None
    low: float | None = None
    high: float | None = None


class Criterion(Settings):
    """One question. `difference`: candidate minus champion, turned round where lower is better. `bound`: what
    `difference`, or without one the candidate, is held against."""

    name: str
    answer: Answer
    sentence: str
    candidate: Estimate | None = None
    champion: Estimate | None = None
    difference: Estimate | None = None
    bound: float | None = None
    temporary: bool = False
    """It is about this machine at this moment, so that another answer may be given tomorrow."""
    positives_needed: int | None = None
    """More patients with the disease that would decide, if both models are equally good; null: not known or not
    needed."""


class Dropped(Settings):
    """Test patients that a model learned from or was tuned on, who therefore judge nothing, and their images."""

    patients: int
    images: int


class Decision(Settings):
    format: Literal[1] = 1
    name: str
    """Of the registered model."""
    verdict: Verdict
    reason: str
    candidate: Model
    champion: Model | None
    """null: there is none, so only floors were asked for."""
    metric: str
    criteria: list[Criterion]
    notes: list[str]
    test: TestImages
    """Today's test images, before any was dropped."""
    judged: dict[str, int]
    """images, patients, positives (patients with an image of the positive class) that judged."""
    dropped: dict[str, Dropped]
    """By model: candidate, champion."""
    wear: Wear
    settings: dict[str, Any]
    """registry of params.yaml."""
    rules: str
    """Digest of all settings that the verdict rests on (gate.Rules)."""

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]

    @property
    def temporary(self) -> bool:
        """Whether the candidate is rejected only for what says nothing of the model, so that it may be asked again."""
        failed = [own for own in self.criteria if own.answer == "fail"]
        return bool(failed) and all(own.temporary for own in failed)

    @property
    def positives_needed(self) -> int | None:
        """The largest of the criteria."""
        return max((own.positives_needed for own in self.criteria if own.positives_needed is not None), default=None)

    def write(self, file: Path = FILE) -> None:
        write_json(file, self.model_dump(mode="json"))

    @classmethod
    def read(cls, file: Path = FILE) -> Decision:
        """Raises UserError when there is none that this version can read."""
        try:
            return cls.model_validate(read_json(file))
        except FileNotFoundError:
            raise UserError(f"{file}: missing. Run `python -m stages gate` first.") from None
        except (ValidationError, ValueError) as error:
            raise UserError(f"{file}: not a decision of this version ({error}). Run `python -m stages gate`.") from None


def verdict_of(criteria: list[Criterion]) -> Verdict:
    """One that fails rejects; else one that is undecided leaves all undecided."""
    answers = {criterion.answer for criterion in criteria}
    return "reject" if "fail" in answers else "undecided" if "undecided" in answers else "promote"
