"""Requests to a store: bounded in time, tried again where that may help, and without secrets.

Credentials come from where each store's own tools look for them (`AWS_*`, `AZURE_STORAGE_*`, Google's
default credentials, `~/.netrc`), or from an HTTP address, and stay out of every address, message and table
of ours.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import fsspec
import tenacity

from anomaly_assets.ingest.clients import open_client
from anomaly_assets.ingest.downloads import Accept, Part, TooManyBytesError, download
from anomaly_assets.ingest.roots import FileUnreadableError, RootError, as_text, too_large

ATTEMPTS = 4
"""How often a request is made before the store counts as down."""

EXTRAS: Mapping[str, tuple[str, str]] = {
    "s3": ("s3", "s3fs"),
    "az": ("azure", "adlfs"),
    "abfs": ("azure", "adlfs"),
    "abfss": ("azure", "adlfs"),
    "gs": ("gcs", "gcsfs"),
    "gcs": ("gcs", "gcsfs"),
    "http": ("http", "aiohttp"),
    "https": ("http", "aiohttp"),
}
"""Scheme to the extra of this project, and the package in it, that opens it."""

WEB_SCHEMES = ("http", "https")

_Result = TypeVar("_Result")


def safe_address(location: str) -> str:
    """An address without user, password, query and fragment, any of which may be a credential."""
    scheme, netloc, path, _, _ = urlsplit(location)
    if scheme in WEB_SCHEMES or ":" in netloc.rpartition("@")[0]:
        netloc = netloc.rpartition("@")[2]  # elsewhere, what is before the @ may be a container
    return urlunsplit((scheme, netloc, path, "", "")).rstrip("/")


def safe_text(error: BaseException) -> str:
    """What an error says, without credentials: none of an address, none of the environment."""
    text = str(error) or type(error).__name__
    text = re.sub(r"://[^/\s'\"@]+@", "://", text)
    text = re.sub(r"(://[^\s'\"?#]*)[?#][^\s'\"]*", r"\1", text)
    for name, value in os.environ.items():
        if len(value) >= 8 and _SECRET.search(name):
            text = text.replace(value, "***")
    return as_text(text)[:500]


_SECRET = re.compile(r"KEY|SECRET|TOKEN|PASSW|CREDENTIAL|CONNECTION_STRING|SAS|SIGNATURE", re.I)


class Store:
    """Requests to one store: bounded in time, tried again, and with errors of ours."""

    def __init__(self, location: str) -> None:
        self._location = location
        self.uri = safe_address(location)
        self.scheme, netloc, _, self.query, _ = urlsplit(location)
        if self.scheme not in EXTRAS:
            raise RootError(
                f"{self.scheme}:// is no kind of root that can be read: give a folder, a .zip file, or an "
                f"address that begins with {', '.join(f'{scheme}://' for scheme in EXTRAS)}."
            )
        extra, package = EXTRAS[self.scheme]
        try:
            importlib.import_module(package)
            self.filesystem = open_client(self.scheme, netloc)
        except ImportError:
            raise RootError(
                f"{self.scheme}:// needs {package}, which is not installed: "
                f"pip install 'anomaly_assets[{extra}]'."
            ) from None
        except Exception as error:
            raise RootError(f"{self.uri} cannot be opened: {safe_text(error)}") from None
        # A web address without its credentials, which travel in headers; else bucket and key.
        self.path = (
            self.uri
            if self.scheme in WEB_SCHEMES
            else str(fsspec.core.strip_protocol(self.uri)).rstrip("/")
        )

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return Store, (self._location,)

    def read(
        self,
        path: str,
        shown: str,
        most_bytes: int,
        *,
        part: Part | None = None,
        accept: Accept | None = None,
    ) -> bytes:
        """Fetch an object, or a part of it, with one request; bytes are counted as they come.

        Args:
            path: As the client takes it.
            shown: What messages call it.
            most_bytes: Refuse what has more.
            part: First byte, and the one behind the last; None for all.
            accept: Called with what the answer says of the object, before its bytes are read; raises
                where they are not wanted.

        Raises:
            FileTooLargeError: More than `most_bytes` came.
            RootError: The store did not answer, however often it was asked.
            FileUnreadableError: It answered that this cannot be had.
        """

        def fetch() -> bytes:
            try:
                return download(self.filesystem, self.scheme, path, most_bytes, part, accept)
            except TooManyBytesError:
                raise too_large(shown, most_bytes) from None

        return self.request(fetch, shown)

    def request(self, call: Callable[[], _Result], path: str) -> _Result:
        """Make a request; `path` names what it is about.

        Raises:
            RootError: The store did not answer, however often it was asked.
            FileUnreadableError: It answered that this cannot be had.
        """
        try:
            for attempt in tenacity.Retrying(
                stop=tenacity.stop_after_attempt(ATTEMPTS),
                wait=tenacity.wait_random_exponential(multiplier=0.2, max=3.0),
                retry=tenacity.retry_if_exception(_is_transient),
                reraise=True,
            ):
                with attempt:
                    return call()
            raise AssertionError("not reached: the last attempt returns or raises")
        except (RootError, FileUnreadableError, MemoryError):
            raise
        except Exception as error:
            # Not chained: the original message may hold what must not be printed.
            if _is_transient(error):
                raise RootError(
                    f"{self.uri} does not answer ({safe_text(error)}; asked {ATTEMPTS} times for "
                    f"{as_text(path)}). What was loaded stays; run again when it is back."
                ) from None
            raise FileUnreadableError(f"{as_text(path)}: {safe_text(error)}") from None


_TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_TRANSIENT_NAMES = frozenset(
    {
        "ClientConnectionError",  # aiohttp
        "ClientPayloadError",
        "ConnectionError",  # botocore, whose error of this name is not Python's
        "HTTPClientError",
        "IncompleteReadError",
        "ServiceRequestError",  # azure
        "ServiceResponseError",
        "FSTimeoutError",  # fsspec
        "ProxyError",  # gcsfs, for status 502
    }
)


def _is_transient(error: BaseException) -> bool:
    """Whether asking again may help: no connection, no answer in time, or a server that is busy."""
    seen: BaseException | None = error
    while seen is not None:
        status = _status_of(seen)
        if status is not None:
            return status in _TRANSIENT_STATUS
        if isinstance(seen, (FileNotFoundError, PermissionError)) and seen.__cause__ is None:
            return False
        if isinstance(seen, (ConnectionError, TimeoutError, BlockingIOError)):
            return True
        if _TRANSIENT_NAMES & {kind.__name__ for kind in type(seen).__mro__}:
            return True
        seen = seen.__cause__
    return "TimeoutError" in type(error).__name__  # Python 3.10 has three of them


def _status_of(error: BaseException) -> int | None:
    """The HTTP status that an error of a client is about."""
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):  # botocore
        found = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        names = ("status", "status_code", "code")  # aiohttp, azure, gcsfs
        found = next((getattr(error, name) for name in names if hasattr(error, name)), None)
    return found if type(found) is int and found >= 400 else None
