"""The DVC remote by which results travel: is there one, can it be used, and what workers have to know of it."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...shared.core.credentials import without_credentials
from ...shared.core.errors import UserError, unknown

if TYPE_CHECKING:
    from dvc.repo import Repo

SECRETS = re.compile(
    "secret|password|passphrase|token|_key|key_id|connection_string|auth_header"
)  # in an option's name
EXAMPLE = "`dvc remote add -d storage /folder/that/all/machines/share` (or s3://…, ssh://…), then commit .dvc/config"
LINKS = "reflink,hardlink,copy"  # from the data that the workers of a node share


@dataclass(frozen=True)
class Remote:
    """config: text of the .dvc/config.local of a worker's clone."""

    name: str
    config: str


def find(repo: Repo, name: str | None) -> Remote:
    """The remote of this name, or the default one, after writing to it and reading back.

    Raises:
        UserError: there is none, it cannot carry a run-cache, or it cannot be written to.
    """
    from dvc.exceptions import DvcException

    remotes = repo.config["remote"]
    name = name or repo.config["core"].get("remote")
    if not name:
        raise UserError(f"A cluster needs a DVC remote that all machines share, and this study has none: {EXAMPLE}.")
    if name not in remotes:
        raise unknown("params.yaml: parallel.cluster.remote", name, remotes)
    try:
        remote = repo.cloud.get_remote(name)
        protocol = remote.fs.protocol
    except DvcException as error:
        raise UserError(f"DVC remote {name!r}: {error}") from None
    if protocol in ("http", "https"):
        raise UserError(
            f"DVC remote {name!r} ({remotes[name]['url']}): DVC's run-cache, by which results travel, does not work "
            f"over HTTP. Use a shared folder, S3 or SSH: {EXAMPLE}."
        )
    if remote.fs.version_aware or remote.worktree:
        raise UserError(
            f"DVC remote {name!r}: version_aware and worktree remotes do not carry DVC's run-cache, by which results "
            f"travel. Unset that, or use another remote: {EXAMPLE}."
        )
    probe(name, remote)
    return Remote(name, config_of(name, dict(remotes[name]), remote.path if protocol == "local" else None))


def probe(name: str, remote: Any) -> None:
    """Raises UserError when a small file cannot be written there and read back."""
    content = uuid.uuid4().hex.encode()
    folder = remote.fs.join(remote.path, "lightbox-probe")
    path = remote.fs.join(folder, content.decode())
    try:
        remote.fs.makedirs(folder, exist_ok=True)
        remote.fs.pipe_file(path, content)
        same = remote.fs.cat_file(path) == content
        remote.fs.rm_file(path)
    except Exception as error:  # each kind of storage has errors of its own
        raise UserError(
            f"DVC remote {name!r} ({remote.path}): a test file could not be written ({type(error).__name__}: {error}). "
            "Check its address, your credentials and its permissions. Nothing has been computed yet."
        ) from None
    if not same:
        raise UserError(f"DVC remote {name!r} ({remote.path}): a test file read back had another content.")


def config_of(name: str, options: dict[str, Any], folder: str | None) -> str:
    """No secrets: a node has credentials of its own, in the environment, a role, or a file of the user."""
    from configobj import ConfigObj

    shared = {
        key: without_credentials(value) if isinstance(value, str) else value
        for key, value in options.items()
        if not SECRETS.search(key)
    }
    if folder is not None:
        shared["url"] = folder  # absolute
    sections = {"core": {"remote": name}, "cache": {"type": LINKS}, f'remote "{name}"': shared}
    return "\n".join(ConfigObj(sections).write()) + "\n"
