"""Kinds of number that several settings share, and how to tell a number."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

Share = Annotated[float, Field(ge=0, lt=1)]


def is_number(value: Any, kind: type | tuple[type, ...]) -> bool:
    """ruamel's numbers, which remember how they were written, are kinds of int and float; so is True."""
    return isinstance(value, kind) and not isinstance(value, bool)
