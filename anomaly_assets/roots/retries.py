"""Requests to a store: bounded in time, tried again where that may help, and without secrets.

Credentials come from where each store's own tools look for them (`AWS_*`, `AZURE_STORAGE_*`, Google's
default credentials, `~/.netrc`), or from an HTTP address, and stay out of every address, message and table
of ours.

`#`, `?` and `%` are characters of a name in an object store, whose addresses are not encoded: `s3://b/a#1?`
is the prefix `a#1?`. In a web address they have the meaning that the standard gives them.
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
from anomaly_assets.locations import shown_scheme
from anomaly_assets.roots.base import AccessDeniedError, FileUnreadableError, RootError, too_large
from anomaly_assets.roots.clients import credentials_of, open_client
from anomaly_assets.roots.downloads import Accept, Part, TooManyBytesError, download

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


@dataclass(frozen=True)
class Address:
    """The parts of the address of a store.

    Attributes:
        scheme: In lower case.
        netloc: Bucket, container or host; may hold user and password.
        path: The rest, with its leading `/`; in an object store as keys are spelled.
        query: Of a web address.
        fragment: Of a web address.
    """

    scheme: str
    netloc: str
    path: str
    query: str = ""
    fragment: str = ""

    @classmethod
    def of(cls, location: str) -> Address:
        """Take an address apart.

        Raises:
            RootError: It is a web address that cannot be.
        """
        scheme, _, rest = location.partition("://")
        if scheme.lower() in WEB_SCHEMES:
            try:
                return cls(*urlsplit(location))
            except ValueError:
                # Not chained: the original message holds a part of the address, which may be a password.
                raise RootError(
                    f"{shown_scheme(location)}: this is no web address; {_HOW_TO_WRITE_A_PASSWORD}"
                ) from None
        netloc = re.split("[/?#]", rest, maxsplit=1)[0]
        return cls(scheme.lower(), netloc, rest[len(netloc) :])

    @property
    def host(self) -> str:
        """Bucket, container or host, without user and password."""
        before, _, host = self.netloc.rpartition("@")
        # Elsewhere than on the web, what is before the @ may be a container.
        return host if self.scheme in WEB_SCHEMES or ":" in before else self.netloc

    @property
    def has_signature(self) -> bool:
        """Whether a query with a secret in it was added to the address of an object store."""
        parameters = re.split("[?&]", self.path.partition("?")[2])
        names = [parameter.partition("=")[0] for parameter in parameters if "=" in parameter]
        return any(name.lower() == "sig" or _SECRET.search(name) for name in names)

    @property
    def safe(self) -> str:
        """The address without what may be a secret."""
        path = self.path.partition("?")[0] if self.has_signature else self.path
        address = f"{self.scheme}://{self.host}{path}".rstrip("/")
        return HIDDEN.sub(lambda found: quote(found[0]), address)


def safe_address(location: str) -> str:
    """Return an address without user, password, signature, and the query and fragment of a web address."""
    return Address.of(location).safe


def _refuse_unclear(location: str, address: Address) -> None:
    """Refuse an address that would be understood as another one than what was typed, or holds a secret.

    Raises:
        RootError: It does; the message shows nothing that may be a part of the secret.
    """
    scheme = shown_scheme(location)
    if address.scheme not in WEB_SCHEMES:
        if address.has_signature:
            raise RootError(
                f"{scheme}: keys and signatures do not belong into the address of an object store. Put "
                "them into the environment, and leave out what begins with the ?."
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
            f"{address.safe}: a # begins what is never sent to a web server. Write one that is part of a "
            "name as %23."
        )


_HOW_TO_WRITE_A_PASSWORD = (
    "write #, /, ?, @ and [ in a password as %23, %2F, %3F, %40 and %5B, or put it into ~/.netrc."
)


def safe_text(error: BaseException) -> str:
    """Return what an error says, without credentials: none of an address, none of the environment."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"://[^/\s'\"@]+@", "://", text)
    text = re.sub(r"(://[^\s'\"?#]*)[?#][^\s'\"]*", r"\1", text)
    secrets = [
        " ".join(value.split()) for name, value in os.environ.items() if _SECRET.search(name)
    ]
    for secret in sorted(secrets, key=len, reverse=True):  # one may be the beginning of another
        if len(secret) >= _SHORTEST_SECRET:
            for spelling in (secret, quote(secret), quote(secret, safe="")):
                text = text.replace(spelling, "***")
    return shown(text)[:500]


_SHORTEST_SECRET = 8
"""Characters; shorter values are words, such as `true`, that messages hold for other reasons."""

_SECRET = re.compile(r"KEY|SECRET|TOKEN|PASSW|CREDENTIAL|CONNECTION_STRING|SAS|SIGNATURE", re.I)


class Store:
    """Requests to one store: bounded in time, tried again, and with errors of ours."""

    def __init__(self, location: str) -> None:
        self._location = location
        address = Address.of(location)
        self.scheme, self.query = address.scheme, address.query
        if self.scheme not in EXTRAS:
            raise RootError(
                f"{self.scheme}:// is no kind of root that can be read: give a folder, a .zip file, or "
                f"an address that begins with {', '.join(f'{scheme}://' for scheme in EXTRAS)}."
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
                f"{self.scheme}:// needs {package}, which is not installed: "
                f"pip install 'anomaly_assets[{extra}]'."
            ) from None
        except Exception as error:
            raise RootError(f"{self.uri} cannot be opened: {safe_text(error)}") from None

    def _path_of(self, address: Address) -> str:
        """A web address without its credentials, which travel in headers; else bucket and key."""
        if self.scheme in WEB_SCHEMES:
            return self.uri
        # fsspec is asked for the bucket alone, because some clients take a key apart at # and ?.
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
        """Fetch an object, or a part of it, with one request; bytes are counted as they come.

        Args:
            path: As the client takes it.
            name: What messages call it.
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
                raise too_large(name, most_bytes) from None

        return self.request(fetch, name)

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
            if refused := _refusal_in(error):
                raise refused from None
            if _is_transient(error):
                raise RootError(
                    f"{self.uri} does not answer ({safe_text(error)}; asked {ATTEMPTS} times for "
                    f"{shown(path)}). What was loaded stays; run again when it is back."
                ) from None
            kind = AccessDeniedError if _is_denied(error) else FileUnreadableError
            raise kind(f"{shown(path)}: {safe_text(error)}") from None

    def refusal(self, what: str, error: FileUnreadableError) -> RootError:
        """Make the error for a root that the store does not give.

        Args:
            what: What cannot be done with it.
            error: What a request about the root raised.
        """
        reason = str(error).removeprefix(f"{shown(self.uri)}: ").rstrip(".")
        advice = (
            f" Check {credentials_of(self.scheme)}, and what they give the right to read."
            if isinstance(error, AccessDeniedError)
            else ""
        )
        return RootError(f"{self.uri} {what}: {reason}.{advice}")


def _refusal_in(error: BaseException) -> RootError | None:
    """Return the refusal of ours that a client has wrapped in an error of its own."""
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


def _is_denied(error: BaseException) -> bool:
    """Return whether a store refuses the credentials, or a client has found none."""
    seen: BaseException | None = error
    while seen is not None:
        if _status_of(seen) in (401, 403) or isinstance(seen, PermissionError):
            return True
        if "Credential" in type(seen).__name__:  # botocore and google-auth
            return True
        seen = seen.__cause__
    return False


def _status_of(error: BaseException) -> int | None:
    """The HTTP status that an error of a client is about."""
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):  # botocore
        found = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        names = ("status", "status_code", "code")  # aiohttp, azure, gcsfs
        found = next((getattr(error, name) for name in names if hasattr(error, name)), None)
    return found if type(found) is int and found >= 400 else None
