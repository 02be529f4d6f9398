"""Errors that a user can fix: each message names the cause, the bad value, the valid ones and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from .credentials import without_credentials


class UserError(Exception):
    """Printed without a traceback; the process then exits with code 1. Its message never shows the password or token
    of an address: it may be printed, logged or sent."""

    def __str__(self) -> str:
        return without_credentials(super().__str__())


class Untrainable(UserError):
    """These settings train nothing: the loss became NaN, or a step does not fit into memory. Others may.

    reason: the message without names of files, for tables that are kept.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message


def closest(bad: object, valid: Iterable[str]) -> str | None:
    """The valid name that `bad` was most likely meant to be, or None."""
    valid = list(valid)
    by_folded = {name.casefold(): name for name in valid}
    matches = difflib.get_close_matches(str(bad).casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[matches[0]] if matches else None


def unknown(what: str, bad: object, valid: Iterable[str]) -> UserError:
    """`what` names the place, e.g. "params.yaml: matrix.backbone"."""
    valid = sorted(map(str, valid))
    guess = closest(bad, valid)
    hint = f" Did you mean {guess!r}?" if guess else ""
    names = ", ".join(valid[:20]) + (f", … ({len(valid)} in all)" if len(valid) > 20 else "")
    return UserError(f"{what}: {bad!r} is not known.{hint} Valid: {names or 'none'}.")
