"""Send requests to a store, with timeouts, retries, and messages without secrets.

Credentials are found where each store's own tools look for them (`AWS_*`, `AZURE_STORAGE_*`, Google's
default credentials, `~/.netrc`), or in an HTTP URL. No URL, message or table of this package
contains them.

In an object store, `#`, `?` and `%` are characters of a name, because its URLs are not encoded:
`s3://b/a#1?` is the prefix `a#1?`. In a web URL they have their standard meaning.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote, urlsplit

import fsspec
import tenacity

from anomaly_assets.datasets.names import HIDDEN, shown
from anomaly_assets.errors import install_extra
from anomaly_assets.locations import shown_scheme
from anomaly_assets.roots.base import AccessDeniedError, FileUnreadableError, RootError, too_large
from anomaly_assets.roots.clients import credentials_of, open_client
from anomaly_assets.roots.downloads import Accept, Part, TooManyBytesError, download

ATTEMPTS = 4
"""Maximum number of requests before a store counts as down."""

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
"""Extra of this project and its package, by scheme."""

WEB_SCHEMES = ("http", "https")

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Address:
    """The parts of the URL of a store.

    Attributes:
        scheme: In lower case.
        netloc: Bucket, container or host; may contain user and password.
        path: The rest, with its leading `/`; in an object store in the spelling of its keys.
        query: Query of a web URL.
        fragment: Fragment of a web URL.
    """

    scheme: str
    netloc: str
    path: str
    query: str = ""
    fragment: str = ""

    @classmethod
    def of(cls, location: str) -> Address:
        """Parse a URL.

        Raises:
            RootError: The location is a malformed web URL.
        """
        scheme, _, rest = location.partition("://")
        if scheme.lower() in WEB_SCHEMES:
            try:
                return cls(*urlsplit(location))
            except ValueError:
                # Not chained: the original message contains a part of the URL, which may be a
                # password.
                raise RootError(
                    f"{shown_scheme(location)}: this is not a valid web URL; {_HOW_TO_WRITE_A_PASSWORD}"
                ) from None
        netloc = re.split("[/?#]", rest, maxsplit=1)[0]
        return cls(scheme.lower(), netloc, rest[len(netloc) :])

    @property
    def host(self) -> str:
        """Return bucket, container or host, without user and password."""
        before, _, host = self.netloc.rpartition("@")
        # Except on the web, the part before the @ may be a container.
        return host if self.scheme in WEB_SCHEMES or ":" in before else self.netloc

    @property
    def has_signature(self) -> bool:
        """Return True if the URL of an object store has a query with a secret."""
        parameters = re.split("[?&]", self.path.partition("?")[2])
        names = [parameter.partition("=")[0] for parameter in parameters if "=" in parameter]
        return any(name.lower() == "sig" or _SECRET.search(name) for name in names)

    @property
    def safe(self) -> str:
        """Return the URL without parts that may be secret."""
        path = self.path.partition("?")[0] if self.has_signature else self.path
        address = f"{self.scheme}://{self.host}{path}".rstrip("/")
        return HIDDEN.sub(lambda found: quote(found[0]), address)


def safe_address(location: str) -> str:
    """Return a URL without user, password, signature, and the query and fragment of a web URL."""
    return Address.of(location).safe


def shown_address(location: str) -> str:
    """Return a URL for a message: safe, or its scheme alone if a password may be in any part of it."""
    try:
        address = Address.of(location)
        if address.scheme in WEB_SCHEMES:
            _refuse_unclear(location, address)
    except RootError:
        return shown_scheme(location)
    cut_in_two = ":" in address.host and "@" in address.path
    return shown_scheme(location) if cut_in_two else address.safe


def _refuse_unclear(location: str, address: Address) -> None:
    """Refuse a URL that contains a secret, or would be parsed differently from what was meant.

    Raises:
        RootError: The URL is refused; the message shows nothing that may be part of the secret.
    """
    scheme = shown_scheme(location)
    if address.scheme not in WEB_SCHEMES:
        if address.has_signature:
            raise RootError(
                f"{scheme}: keys and signatures must not be in the URL of an object store. Put "
                "them into the environment, and remove the part from the ? on."
            )
        return
    is_host = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]]+)(:[0-9]*)?", address.host)
    first_folder = "" if "@" in address.netloc else address.path.lstrip("/").partition("/")[0]
    cut_in_two = (
        ":" in address.host and "@" in first_folder[1:]
    )  # host:port/scope@… or me:pass/word@…
    if "@" in address.query + address.fragment or cut_in_two or not is_host:
        raise RootError(f"{scheme}: {_HOW_TO_WRITE_A_PASSWORD}")
    if address.fragment or location.endswith("#"):
        raise RootError(
            f"{address.safe}: the part after a # is not sent to a web server. Write a # that is part of a "
            "name as %23."
        )


_HOW_TO_WRITE_A_PASSWORD = (
    "write #, /, ?, @ and [ in a password as %23, %2F, %3F, %40 and %5B, or put it into ~/.netrc."
)


def safe_text(error: BaseException) -> str:
    """Return an error's message after removing credentials that are in URLs or in variables."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"://[^/\s'\"@]+@", "://", text)
    text = re.sub(r"(://[^\s'\"?#]*)[?#][^\s'\"]*", r"\1", text)
    secrets = [
        " ".join(value.split()) for name, value in os.environ.items() if _SECRET.search(name)
    ]
    # Longest first, because one secret may be the beginning of another.
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            for spelling in (secret, quote(secret), quote(secret, safe="")):
                text = text.replace(spelling, "***")
    return shown(text)[:500]


_SHORTEST_SECRET = 8
"""Minimum length of a secret; shorter values are words, such as `true`, that messages may contain."""

_SECRET = re.compile(r"KEY|SECRET|TOKEN|PASSW|CREDENTIAL|CONNECTION_STRING|SAS|SIGNATURE", re.I)


class Store:
    """Requests to one store, with timeouts, retries, and errors of this package."""

    def __init__(self, location: str) -> None:
        self._location = location
        address = Address.of(location)
        self.scheme, self.query = address.scheme, address.query
        if self.scheme not in EXTRAS:
            raise RootError(
                f"{self.scheme}:// is not a supported kind of root: give a folder, a .zip file, or "
                f"a URL that begins with {', '.join(f'{scheme}://' for scheme in EXTRAS)}."
            )
        _refuse_unclear(location, address)
        self.uri = address.safe
        extra, package = EXTRAS[self.scheme]
        try:
            importlib.import_module(package)
            self.filesystem = open_client(self.scheme, address.netloc)
            self.path = self._path_of(address)
        except ImportError:
            raise RootError(
                f"{self.scheme}:// needs {package}, which is not installed: {install_extra(extra)}."
            ) from None
        except Exception as error:
            raise RootError(f"{self.uri} cannot be opened: {safe_text(error)}") from None

    def _path_of(self, address: Address) -> str:
        """Return a web URL without its credentials, which are sent in headers; else bucket and key."""
        if self.scheme in WEB_SCHEMES:
            return self.uri
        # Only the bucket is passed to fsspec, because some clients split a key at # and ?.
        bucket = str(fsspec.core.strip_protocol(f"{self.scheme}://{address.host}/"))
        return f"{bucket.rstrip('/')}{address.path}".rstrip("/")

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return Store, (self._location,)

    def read(
        self,
        path: str,
        name: str,
        most_bytes: int,
        *,
        part: Part | None = None,
        accept: Accept | None = None,
    ) -> bytes:
        """Download an object, or a range of it, with one request; bytes are counted while they arrive.

        Args:
            path: Path in the client's form.
            name: Name of the object in messages.
            most_bytes: Maximum size; a larger object is refused.
            part: First byte, and the position after the last one; None for all.
            accept: Called with the properties of the object before its bytes are read; raises to refuse
                them.

        Raises:
            FileTooLargeError: The answer has more than `most_bytes`.
            RootError: The store did not answer, after all retries.
            FileUnreadableError: The store answered with an error for this object.
        """

        def fetch() -> bytes:
            try:
                return download(self.filesystem, self.scheme, path, most_bytes, part, accept)
            except TooManyBytesError:
                raise too_large(name, most_bytes) from None

        return self.request(fetch, name)

    def request(self, call: Callable[[], _Result], path: str) -> _Result:
        """Call `call`, with retries; messages name `path`.

        Raises:
            RootError: The store did not answer, after all retries.
            FileUnreadableError: The store answered with an error for this object.
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
            # Not chained: the original message may contain secrets.
            if refused := _refusal_in(error):
                raise refused from None
            if _is_transient(error):
                raise RootError(
                    f"{self.uri} does not answer ({safe_text(error)}; asked {ATTEMPTS} times for "
                    f"{shown(path)}). Rows loaded earlier are kept; run again when it is back."
                ) from None
            kind = AccessDeniedError if _is_denied(error) else FileUnreadableError
            raise kind(f"{shown(path)}: {safe_text(error)}") from None

    def refusal(self, what: str, error: FileUnreadableError) -> RootError:
        """Return the error for a root that the store refuses.

        Args:
            what: Failed action, such as `cannot be listed`.
            error: Error of a request about the root.
        """
        reason = str(error).removeprefix(f"{shown(self.uri)}: ").rstrip(".")
        advice = (
            f" Check {credentials_of(self.scheme)}, and their read permissions."
            if isinstance(error, AccessDeniedError)
            else ""
        )
        return RootError(f"{self.uri} {what}: {reason}.{advice}")


def _refusal_in(error: BaseException) -> RootError | None:
    """Return our own error that a client has wrapped in an error of its own; None if there is none."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, RootError):
        seen = seen.__cause__
    return seen


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
    """Return whether a retry may help: no connection, a timeout, or a busy server."""
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


def _is_denied(error: BaseException) -> bool:
    """Return whether a store rejects the credentials, or a client has found none."""
    seen: BaseException | None = error
    while seen is not None:
        if _status_of(seen) in (401, 403) or isinstance(seen, PermissionError):
            return True
        if "Credential" in type(seen).__name__:  # botocore and google-auth
            return True
        seen = seen.__cause__
    return False


def _status_of(error: BaseException) -> int | None:
    """Return the HTTP status of a client's error; None if it has none."""
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):  # botocore
        found = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        names = ("status", "status_code", "code")  # aiohttp, azure, gcsfs
        found = next((getattr(error, name) for name in names if hasattr(error, name)), None)
    return found if type(found) is int and found >= 400 else None
