"""A Kaggle data set, pinned by version, through Kaggle's own client.

Of the client we use its credentials, its session and its resumable, checksummed download, but not its unpacking: that
would write every image to disk once more and look at neither names nor sizes. The archive lies in the client's cache
(KAGGLEHUB_CACHE, else ~/.cache/kagglehub) until data/raw.zip is whole, then it is deleted. So the most disk used is
twice the archive, and whatever is left after a failure is either resumed, packed at once, or deleted as damaged.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
from requests.adapters import HTTPAdapter
from tqdm import tqdm

from ..shared.core.errors import UserError
from ..shared.core.files import disk_full
from .entries import read_images
from .params import Kaggle
from .unpack import ArchiveError, open_archive

WAITS = (1.0, 3.0, 9.0)  # seconds before each new attempt
TIMEOUT = (10.0, 60.0)  # seconds to connect, and between two packets; the client itself would wait for ever
PASSING = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
CREDENTIALS = (
    "make a token at kaggle.com/settings (API), then set KAGGLE_API_TOKEN, or set KAGGLE_USERNAME and KAGGLE_KEY, or "
    "put kaggle.json into ~/.kaggle (or the folder that KAGGLE_CONFIG_DIR names)"
)


@contextmanager
def members(settings: Kaggle, counts: dict[str, float]) -> Iterator[Iterator[tuple[str, bytes]]]:
    """(name, bytes) of every image of the data set.

    Raises:
        UserError: no or wrong credentials, unknown data set, no network, damaged or unsafe archive.
    """
    check_credentials()
    handle = parse_dataset_handle(f"{settings.dataset}/versions/{settings.version}")
    archive = Path(get_cached_archive_path(handle))
    with locked(archive):
        fetch(handle, archive)
        yield from unpack(archive, settings, counts)


@contextmanager
def locked(archive: Path) -> Iterator[None]:
    """Experiments that run side by side share the client's cache: one downloads, the others wait."""
    lock = FileLock(f"{archive}.lock")
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except PermissionError as error:
        raise UserError(
            f"{error.filename}: no permission to write there. Point KAGGLEHUB_CACHE at a folder of your own."
        ) from None
    try:
        yield
    finally:
        lock.release()


def unpack(archive: Path, settings: Kaggle, counts: dict[str, float]) -> Iterator[Iterator[tuple[str, bytes]]]:
    """Yields once; goes on when data/raw.zip is written. A damaged or unsafe archive is deleted, so that the next run
    starts clean; after a full disk it stays, so that the next run need not download it again."""
    where = f"kaggle.com/datasets/{settings.dataset} version {settings.version}"
    remedy = "It was deleted; run `dvc repro` again to download it anew."
    try:
        with open_archive(archive, settings.limits, remedy) as (entries, total):
            yield read_images(entries, counts, where, total)
    except ArchiveError:
        archive.unlink(missing_ok=True)
        raise
    archive.unlink()


def check_credentials() -> None:
    try:
        found = get_kaggle_credentials()
    except (ValueError, OSError) as error:  # a kaggle.json that is no JSON, lacks a key or cannot be read
        raise UserError(f"Kaggle credentials are not usable: {error}. To fix it, {CREDENTIALS}.") from None
    if found is None:
        raise UserError(f"download.source kaggle: no Kaggle credentials found; {CREDENTIALS}.")


def fetch(handle: DatasetHandle, archive: Path) -> None:
    """Download the data set as Kaggle packed it, to `archive`; goes on where an earlier attempt was cut off.

    Raises:
        UserError: it cannot be had; what to do about it.
    """
    for wait in (*WAITS, None):
        try:
            return attempt(handle, archive)
        except PASSING as error:
            problem = describe_network(error, archive)
        except requests.HTTPError as error:
            problem = describe_refusal(error, handle)
            if error.response.status_code < 500 and error.response.status_code != 429:
                raise problem from None
        except DataCorruptionError:
            raise UserError(
                f"{name(handle)}: what arrived does not match Kaggle's checksum. The damaged file was deleted; run "
                "`dvc repro` again to download it anew."
            ) from None
        except requests.RequestException as error:
            raise UserError(f"{name(handle)}: the download failed: {error}. Run `dvc repro` again.") from None
        except OSError as error:
            raise disk_full(archive, error) or error from None
        if wait is None:
            raise problem from None
        tqdm.write(f"{problem} Trying again in {wait:g} s.", sys.stderr)
        time.sleep(wait)


def attempt(handle: DatasetHandle, archive: Path) -> None:
    request = ApiDownloadDatasetRequest()
    request.owner_slug, request.dataset_slug = handle.owner, handle.dataset
    request.dataset_version_number = handle.version
    with build_kaggle_client() as client:
        for scheme in ("https://", "http://"):
            client.http_client()._session.mount(scheme, Impatient())  # there is no public way to set a timeout
        response = handle_call(lambda: client.datasets.dataset_api_client.download_dataset(request), handle)
        download_file(response, str(archive), handle)


class Impatient(HTTPAdapter):
    """Gives requests that set no timeout one."""

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        return super().send(*args, **{**kwargs, "timeout": kwargs.get("timeout") or TIMEOUT})


def name(handle: DatasetHandle) -> str:
    return f"kaggle.com/datasets/{handle.owner}/{handle.dataset} version {handle.version}"


def describe_network(error: Exception, archive: Path) -> UserError:
    have = archive.stat().st_size if archive.exists() else 0
    if have or isinstance(error, requests.exceptions.ChunkedEncodingError):
        return UserError(
            f"The download from Kaggle was interrupted after {have / 1e6:,.1f} MB ({type(error).__name__}). Check the "
            "network and run `dvc repro` again; it goes on from there."
        )
    return UserError(
        f"Kaggle cannot be reached ({type(error).__name__}). Check the network and the proxy (HTTPS_PROXY), then run "
        "`dvc repro` again; or use download.source folder or phantom, which need none."
    )


def describe_refusal(error: requests.HTTPError, handle: DatasetHandle) -> UserError:
    code = error.response.status_code
    if code == 401:
        return UserError(f"Kaggle refused the credentials (401): wrong or expired. To fix it, {CREDENTIALS}.")
    if code == 403:
        return UserError(
            f"Kaggle refused access to {name(handle)} (403): it is private, or its terms have to be accepted on its "
            "page first, or the name is wrong. Open the page with the same account, then run `dvc repro` again."
        )
    if code == 404:
        return UserError(
            f"Kaggle has no {name(handle)} (404). Check download.kaggle.dataset (owner/name, as in the page's address) "
            "and download.kaggle.version in params.yaml."
        )
    if code == 429:
        return UserError("Kaggle says: too many requests (429). Wait some minutes and run `dvc repro` again.")
    if code >= 500:
        return UserError(f"Kaggle has trouble at present ({code}). Run `dvc repro` again later.")
    return UserError(f"Kaggle refused {name(handle)} ({code}): {str(error).splitlines()[0]}. See its page.")
