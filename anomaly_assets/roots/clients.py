"""The fsspec client of each kind of store, made to ask once and to give up in time.

Each of them repeats requests by itself, with pauses of its own: up to half a minute per request in
gcsfs, a minute in Azure's client, five silent time limits in s3fs. `requests.py` repeats them instead,
for all stores alike, so that a store that is down ends a run within a minute or two.
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
    """Return where the credentials of a store come from, as a part of a sentence."""
    if scheme == "s3":
        return "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, in the environment"
    if scheme in ("az", "abfs", "abfss"):
        return "AZURE_STORAGE_CONNECTION_STRING, or account name and key, in the environment"
    if scheme in ("gs", "gcs"):
        return "GOOGLE_APPLICATION_CREDENTIALS in the environment"
    return "user and password in the address or in ~/.netrc"


def open_client(scheme: str, netloc: str) -> Any:
    """Make the client of one store.

    Args:
        scheme: Of the address.
        netloc: Of the address, which for the web may hold user and password.

    Raises:
        ImportError: The package that opens such addresses is not installed.
        ValueError: Nothing does, or the store's credentials are missing.
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
    # With more, every object is asked for its size before it is read.
    client = fsspec.filesystem("s3", config_kwargs=config, max_concurrency=1, **_UNCACHED)
    client.retries = 1
    client.split_path = partial(_bucket_and_key, client.split_path)
    return client


def _bucket_and_key(split: Any, path: str) -> tuple[str, str, None]:
    """Take a path apart without looking for a version in it: `?versionId=` may be part of a key.

    s3fs would read another object, if there is one whose key is what comes before.
    """
    bucket, key, _ = split(path.replace(_VERSION, "\0"))
    return bucket, key.replace("\0", _VERSION), None


def _azure_client(scheme: str, seconds: float) -> Any:
    client = fsspec.filesystem(
        scheme, connection_timeout=seconds, read_timeout=seconds, **_UNCACHED
    )
    # The options above hold for downloads alone, and there are none for the rest.
    client.service_client._config.retry_policy.total_retries = 0
    connection = client.service_client._pipeline._transport.connection_config
    connection.timeout = connection.read_timeout = seconds
    # adlfs takes paths apart like web addresses: it loses a # or ? at the end, and the order of both.
    client._strip_protocol = lambda path: path.lstrip("/")
    client.split_path = _container_and_blob
    return client


def _container_and_blob(path: str, **_: Any) -> tuple[str, str, None]:
    """Take a path apart without looking for a version in it, as for S3."""
    container, __, blob = path.lstrip("/").partition("/")
    return container, blob, None


def _gcs_client(seconds: float) -> Any:
    # Not the class that gcsfs registers: it asks for the kind of every bucket by gRPC, which takes a
    # minute where nobody answers, for the sake of one rare kind that we do not write to.
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
            return  # no address: aiohttp refuses it
        if told.host is not None and not is_same_server(asked, told):
            redirect.response.close()
            # The rest of either address may be a signature.
            raise RootError(
                f"{shown(asked.origin())} redirects to {shown(told.origin())}: nothing was read from "
                "there, because a root is on one server. If the files are there, name that one instead."
            )

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(on_redirect)
    return trace


def _target(headers: Any) -> str:
    """Return where a redirect leads; aiohttp goes by `URI`, too, where there is no `Location`."""
    return str(headers.get("Location") or headers.get("URI") or "")


def is_same_server(asked: Any, told: Any) -> bool:
    """Return whether a redirect stays on the server that was asked, or leads to its encrypted side.

    Args:
        asked: Address that was asked, as aiohttp has it.
        told: Address that the answer gives.
    """
    same = (asked.scheme, asked.port) == (told.scheme, told.port)
    return asked.host == told.host and (same or (asked.scheme, told.scheme) == ("http", "https"))


def _silence(seconds: float) -> Any:
    """A limit on how long nothing may come, not on how long it takes."""
    import aiohttp

    return aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds)
