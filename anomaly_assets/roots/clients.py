"""Open fsspec clients for all kinds of stores, without their own retries, and with timeouts.

Each client repeats requests by itself, with its own pauses: up to half a minute per request in gcsfs, a
minute in Azure's client, five silent timeouts in s3fs. `retries.py` repeats them instead, in the same
way for all stores, so that a store that is down ends a run within a minute or two.
"""

from __future__ import annotations

import base64
import os
from functools import partial
from typing import Any
from urllib.parse import unquote

import fsspec

from anomaly_assets.datasets.names import shown
from anomaly_assets.roots.base import RootError
from anomaly_assets.settings import store_timeout_seconds

_VERSION = "?versionId="

_UNCACHED = {"use_listings_cache": False, "skip_instance_cache": True}


def credentials_of(scheme: str) -> str:
    """Return the source of a store's credentials, as a phrase for messages."""
    if scheme == "s3":
        return "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, in the environment"
    if scheme in ("az", "abfs", "abfss"):
        return "AZURE_STORAGE_CONNECTION_STRING, or account name and key, in the environment"
    if scheme in ("gs", "gcs"):
        return "GOOGLE_APPLICATION_CREDENTIALS in the environment"
    return "user and password in the URL or in ~/.netrc"


def open_client(scheme: str, netloc: str) -> Any:
    """Open the client of one store.

    Args:
        scheme: Scheme of the URL.
        netloc: Network location of the URL; for the web it may contain user and password.

    Raises:
        ImportError: The package for this scheme is not installed.
        ValueError: No package supports the scheme, or the store's credentials are missing.
    """
    seconds = store_timeout_seconds()
    if scheme == "s3":
        return _s3_client(seconds)
    if scheme in ("az", "abfs", "abfss"):
        return _azure_client(scheme, seconds)
    if scheme in ("gs", "gcs"):
        return _gcs_client(seconds)
    if scheme in ("http", "https"):
        return _web_client(scheme, netloc, seconds)
    return fsspec.filesystem(scheme, **_UNCACHED)


def _s3_client(seconds: float) -> Any:
    config = {
        "connect_timeout": seconds,
        "read_timeout": seconds,
        "retries": {"total_max_attempts": 1},
    }
    # With a higher concurrency, s3fs asks for the size of every object before it reads it.
    client = fsspec.filesystem("s3", config_kwargs=config, max_concurrency=1, **_UNCACHED)
    client.retries = 1
    client.split_path = partial(_bucket_and_key, client.split_path)
    return client


def _bucket_and_key(split: Any, path: str) -> tuple[str, str, None]:
    """Split a path without looking for a version in it: `?versionId=` may be part of a key.

    Otherwise s3fs would read another object, if one has the part before `?versionId=` as its key.
    """
    bucket, key, _ = split(path.replace(_VERSION, "\0"))
    return bucket, key.replace("\0", _VERSION), None


def _azure_client(scheme: str, seconds: float) -> Any:
    client = fsspec.filesystem(
        scheme, connection_timeout=seconds, read_timeout=seconds, **_UNCACHED
    )
    # The options above apply to downloads only; there are no options for other requests.
    client.service_client._config.retry_policy.total_retries = 0
    connection = client.service_client._pipeline._transport.connection_config
    connection.timeout = connection.read_timeout = seconds
    # adlfs parses paths like web URLs, which breaks names with # or ?.
    client._strip_protocol = lambda path: path.lstrip("/")
    client.split_path = _container_and_blob
    return client


def _container_and_blob(path: str, **_: Any) -> tuple[str, str, None]:
    """Split a path without looking for a version in it, as for S3."""
    container, __, blob = path.lstrip("/").partition("/")
    return container, blob, None


def _gcs_client(seconds: float) -> Any:
    # Not the class that gcsfs registers: it asks for the type of every bucket by gRPC, which takes a
    # minute if the server does not answer, only to support a rare bucket type for writing.
    from gcsfs.core import GCSFileSystem

    client = GCSFileSystem(
        token="anon" if os.environ.get("STORAGE_EMULATOR_HOST") else None,
        requests_timeout=_silence(seconds),
        **_UNCACHED,
    )
    client._request = partial(GCSFileSystem._request.__wrapped__, client)
    return client


def _web_client(scheme: str, netloc: str, seconds: float) -> Any:
    options: dict[str, Any] = {
        "timeout": _silence(seconds),
        "trust_env": True,  # ~/.netrc and proxies
        "trace_configs": [_stays_on_its_server()],
    }
    user, _, password = netloc.rpartition("@")[0].partition(":")
    if user:
        login = f"{unquote(user)}:{unquote(password)}".encode()
        options["headers"] = {"Authorization": f"Basic {base64.b64encode(login).decode()}"}
    return fsspec.filesystem(scheme, client_kwargs=options, **_UNCACHED)


def _stays_on_its_server() -> Any:
    """Return a hook for aiohttp that checks each redirect before it is followed."""
    import aiohttp

    async def on_redirect(session: Any, context: Any, redirect: Any) -> None:
        asked = redirect.url
        try:
            told = asked.join(type(asked)(_target(redirect.response.headers)))
        except ValueError:
            return  # not a URL; aiohttp refuses it
        if told.host is not None and not is_same_server(asked, told):
            redirect.response.close()
            # Show only the origins: the rest of a URL may contain a signature.
            raise RootError(
                f"{shown(asked.origin())} redirects to {shown(told.origin())}: nothing was read from "
                "there, because a root is on one server. If the files are there, name that one instead."
            )

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(on_redirect)
    return trace


def _target(headers: Any) -> str:
    """Return the target of a redirect; like aiohttp, use `URI` if there is no `Location`."""
    return str(headers.get("Location") or headers.get("URI") or "")


def is_same_server(asked: Any, told: Any) -> bool:
    """Return whether a redirect stays on the same server, or only switches from http to https.

    Args:
        asked: The requested URL, as aiohttp's object.
        told: The URL in the redirect.
    """
    same = (asked.scheme, asked.port) == (told.scheme, told.port)
    return asked.host == told.host and (same or (asked.scheme, told.scheme) == ("http", "https"))


def _silence(seconds: float) -> Any:
    """Return the idle timeout of aiohttp: it limits silence on the socket, not total time."""
    import aiohttp

    return aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds)
