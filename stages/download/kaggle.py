"""A Kaggle data set, pinned by version, through Kaggle's own client.

We use the client's credentials, its session and its resumable, checksummed download, but not its unpacking: that would
write every image to disk once more and check neither names nor sizes. The archive lies in the client's cache
(KAGGLEHUB_CACHE, else ~/.cache/kagglehub) until data/raw.zip is complete; then it is deleted. The most disk space used
is twice the archive. After a failure, the next run resumes the download, packs it at once, or starts anew.
"""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import requests
from filelock import FileLock
from kagglehub.cache import get_cached_archive_path
from kagglehub.clients import build_kaggle_client, download_file
from kagglehub.config import get_kaggle_credentials
from kagglehub.exceptions import DataCorruptionError, handle_call
from kagglehub.handle import DatasetHandle, parse_dataset_handle
from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest
from tqdm import tqdm

from ..shared.core.errors import UserError
from ..shared.core.files import disk_full
from .entries import Rules, pack_images
from .params import Kaggle
from .privacy import messages
from .unpack import ArchiveError, open_archive

WAITS = (1.0, 3.0, 9.0)  # seconds before each new attempt
TIMEOUT = (10.0, 60.0)  # seconds to connect, and between two packets; the client itself would wait for ever
DELETED = "It was deleted; run `dvc repro` again to download it anew."
CREDENTIALS = (
    "make a token at kaggle.com/settings (API), then set KAGGLE_API_TOKEN, or set KAGGLE_USERNAME and KAGGLE_KEY, or "
    "put kaggle.json into ~/.kaggle (or the folder that KAGGLE_CONFIG_DIR names)"
)
REFUSALS = {
    401: f"Kaggle refused the credentials (401): they are wrong or have expired. To fix it, {CREDENTIALS}.",
    403: "Kaggle refused access to {where} (403): it is private, or its terms have to be accepted on its page first, "
    "or the name is wrong. Open the page with the same account, then run `dvc repro` again.",
    404: "Kaggle has no {where} (404). Check download.kaggle.dataset (owner/name, as in the page's address) and "
    "download.kaggle.version in params.yaml.",
    429: "Kaggle says: too many requests (429). Wait some minutes and run `dvc repro` again.",
    500: "Kaggle has trouble at present ({code}). Run `dvc repro` again later.",  # and all above
}


def pack(settings: Kaggle, rules: Rules) -> dict[str, float]:
    """Write data/raw.zip from the images of the data set; returns counts. A damaged or unsafe archive is deleted, so
    that the next run starts clean; after a full disk it stays, so that the next run need not download it again.

    Raises:
        UserError: no or wrong credentials, unknown data set, no network, damaged or unsafe archive.
    """
    try:
        if get_kaggle_credentials() is None:
            raise UserError(f"download.source kaggle: no Kaggle credentials found; {CREDENTIALS}.")
    except (ValueError, OSError) as error:  # a kaggle.json that is no JSON, lacks a key or cannot be read
        raise UserError(f"Kaggle credentials are not usable: {error}. To fix it, {CREDENTIALS}.") from None
    handle = parse_dataset_handle(f"{settings.dataset}/versions/{settings.version}")
    where = f"kaggle.com/datasets/{settings.dataset} version {settings.version}"
    archive = Path(get_cached_archive_path(handle))
    with lock(archive):
        fetch(handle, archive, where)
        with messages(rules.pseudonyms):
            try:
                with open_archive(archive, settings.limits, DELETED) as (entries, total):
                    counts = pack_images(entries, where, total, rules)
            except ArchiveError:
                archive.unlink(missing_ok=True)
                raise
        archive.unlink()
    return counts


def lock(archive: Path) -> AbstractContextManager[Any]:
    """Experiments that run side by side share the client's cache: one downloads, the others wait."""
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(f"{archive}.lock").acquire()
    except PermissionError as error:
        raise UserError(
            f"{error.filename}: no permission to write there. Point KAGGLEHUB_CACHE at a folder of your own."
        ) from None


def fetch(handle: DatasetHandle, archive: Path, where: str) -> None:
    """Download the data set as Kaggle packed it, to `archive`; continues an earlier attempt that was cut off.

    Raises:
        UserError: the download failed; the message says what to do.
    """
    for wait in (*WAITS, None):
        try:
            return attempt(handle, archive)
        except (requests.RequestException, DataCorruptionError) as error:
            message, passes = explain(error, archive, where)
        except OSError as error:
            raise disk_full(archive, error) or error from None
        if wait is None or not passes:
            raise UserError(message)
        tqdm.write(f"{message} Trying again in {wait:g} s.", sys.stderr)
        time.sleep(wait)


def attempt(handle: DatasetHandle, archive: Path) -> None:
    request = ApiDownloadDatasetRequest()
    request.owner_slug, request.dataset_slug = handle.owner, handle.dataset
    request.dataset_version_number = handle.version
    with build_kaggle_client() as client:
        session = client.http_client()._session  # there is no public way to set a timeout
        session.send = partial(session.send, timeout=TIMEOUT)
        response = handle_call(lambda: client.datasets.dataset_api_client.download_dataset(request), handle)
        download_file(response, str(archive), handle)


def explain(error: Exception, archive: Path, where: str) -> tuple[str, bool]:
    """What happened and what to do, and whether another attempt may help."""
    if isinstance(error, requests.HTTPError):
        code = error.response.status_code
        refusal = REFUSALS.get(min(code, 500), "Kaggle refused {where} ({code}): {reason}. See its page.")
        reason = str(error).splitlines()[0]
        return refusal.format(where=where, code=code, reason=reason), code == 429 or code >= 500
    if isinstance(error, DataCorruptionError):
        return f"{where}: the file that arrived does not match Kaggle's checksum. {DELETED}", False
    if not isinstance(error, (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)):
        return f"{where}: the download failed: {error}. Run `dvc repro` again.", False
    kind = type(error).__name__
    size = archive.stat().st_size if archive.exists() else 0
    if size or isinstance(error, requests.exceptions.ChunkedEncodingError):
        remedy = "Check the network and run `dvc repro` again; it continues from there."
        return f"The download from Kaggle was interrupted after {size / 1e6:,.1f} MB ({kind}). {remedy}", True
    remedy = "Check the network and the proxy (HTTPS_PROXY), then run `dvc repro` again"
    return f"Kaggle cannot be reached ({kind}). {remedy}; or use another download.source, which needs no network.", True
