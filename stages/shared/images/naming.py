"""What the name of a file says of its image."""

from __future__ import annotations

import re


def in_name(match: re.Match[str] | None, field: str) -> str | None:
    """The patient or the site (`field`) where an expression of params.yaml has been found in a name: the group of that
    name, else all groups, joined by "-", else the whole match. None: it finds nothing."""
    if match is None:
        return None
    if field in match.re.groupindex:
        return match[field] or None
    return ("-".join(filter(None, match.groups())) if match.re.groups else match[0]) or None
