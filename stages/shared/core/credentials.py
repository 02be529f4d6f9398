"""Addresses without the credentials in them: https://user:token@host -> https://host.

Workers of a cluster get this module by value (stages/parallel/cluster), so it imports only the standard library.
"""

from __future__ import annotations

import re

# up to the last @ before a slash or a space: a password may contain one. Where it starts is looked for once only
SCHEME = r"(?<![\w+.-])([A-Za-z][A-Za-z0-9+.-]*)://"
ADDRESS = re.compile(SCHEME + r"([^/\s\"<>]+)@")
# a password of a database may contain a slash, too: its address has a name of a host behind the @
DATABASE = re.compile(
    r"(?<![\w+.-])((?:postgres|mysql|mssql|mariadb|oracle)[A-Za-z0-9+.-]*)://([^\s\"<>]+)@", re.IGNORECASE
)
QUERY = re.compile(r"([?&;](?:sig|token|access_token|password|secret|key|api_key)=)[^&;\s'\"<>]+", re.IGNORECASE)
WEB = re.compile(r"(git\+)?https?|webdavs?", re.IGNORECASE)


def without_credentials(text: str) -> str:
    """Every address in the text without its password, and without the secrets of its query. Of a web address the user
    goes too, which is often a token; of others it stays: ssh://user:password@host -> ssh://user@host."""

    def clean(match: re.Match[str]) -> str:
        scheme, owner = match.groups()
        user = "" if WEB.fullmatch(scheme) else owner.partition(":")[0]
        return f"{scheme}://{user}@" if user else f"{scheme}://"

    return QUERY.sub(r"\1…", ADDRESS.sub(clean, DATABASE.sub(clean, text)))
