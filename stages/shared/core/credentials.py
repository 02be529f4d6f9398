"""Addresses without the credentials in them: https://user:token@host -> https://host.

Workers of a cluster get this module by value (stages/parallel/cluster), so it imports only the standard library.
"""

from __future__ import annotations

import re

# up to the last @ before a slash or a space: a password may contain one
ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/\s'\"<>]+)@")
WEB = re.compile(r"(git\+)?https?|webdavs?", re.IGNORECASE)


def without_credentials(text: str) -> str:
    """Every address in the text without its password. Of a web address the user goes too, which is often a token; of
    others it stays: ssh://user:password@host -> ssh://user@host."""

    def clean(match: re.Match[str]) -> str:
        scheme, owner = match.groups()
        user = "" if WEB.fullmatch(scheme) else owner.partition(":")[0]
        return f"{scheme}://{user}@" if user else f"{scheme}://"

    return ADDRESS.sub(clean, text)
