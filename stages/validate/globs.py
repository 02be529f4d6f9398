"""Patterns on member names: `*`, `**`, `?`, `[ab]`; without a slash, on the file name alone."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import PurePosixPath

_TOKENS = re.compile(
    r"(?P<deep>\*\*/)|(?P<all>\*\*)|(?P<star>\*)|(?P<one>\?)|\[(?P<set>!?\]?[^\]]*)\]|(?P<text>.)", re.S
)
_FIXED = {"deep": "(?:.*/)?", "all": ".*", "star": "[^/]*", "one": "[^/]"}


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    parts = []
    for match in _TOKENS.finditer(pattern):
        kind, text = str(match.lastgroup), match[str(match.lastgroup)]
        if kind == "set":
            inner = text.removeprefix("!").replace("\\", r"\\").replace("[", r"\[").replace("^", r"\^")
            parts.append(f"[^/{inner}]" if text.startswith("!") else f"[{inner}]")
        else:
            parts.append(_FIXED.get(kind) or re.escape(text))
    return re.compile("".join(parts), re.S)


def matches(name: str, pattern: str) -> bool:
    return compiled(pattern).fullmatch(name if "/" in pattern else name.rsplit("/", 1)[-1]) is not None


def matches_any(name: str, patterns: Iterable[str]) -> bool:
    return any(matches(name, pattern) for pattern in patterns)


def nearest_folders(pattern: str, names: Iterable[str], count: int = 6) -> list[str]:
    """The folders of the archive that are most similar to the pattern; "." is its root."""
    folders = sorted({str(PurePosixPath(name).parent) for name in names})
    sought = [part.strip("*?").casefold() for part in pattern.split("/") if part.strip("*?")]

    def similarity(folder: str) -> float:
        parts = folder.casefold().split("/")
        return sum(max(difflib.SequenceMatcher(None, s, p).ratio() for p in parts) for s in sought)

    return sorted(folders, key=lambda folder: (-similarity(folder), folder))[:count]


def examples(names: Sequence[str], limit: int = 5) -> str:
    """A few names for a message."""
    more = f", … ({len(names)} in all)" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
