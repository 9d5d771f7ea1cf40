"""Download from a store: one request, whose bytes are counted as they come.

The clients' own ways to read an object (`cat_file`) take what the server sends, however much that is, and
give back neither etag nor time. So each kind of store has a function here that gives the headers of the
answer first, and then its bytes in pieces.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

from fsspec.asyn import sync

from anomaly_assets.roots.base import MAX_FILE_BYTES

Part: TypeAlias = tuple[int, int]
"""First byte, and the one behind the last."""

Info: TypeAlias = Mapping[str, Any]
"""What an answer says of its object: `ETag`, `Last-Modified`, `size` in bytes, as far as it does."""

Accept: TypeAlias = Callable[[Info], None]

_PIECE_BYTES = 1024 * 1024

_Answer: TypeAlias = tuple[Info, AsyncIterator[bytes]]

_Opened: TypeAlias = Callable[[Any, str, "Part | None", int], AbstractAsyncContextManager[_Answer]]


class TooManyBytesError(Exception):
    """More bytes came than may be taken."""


def download(
    client: Any,
    scheme: str,
    path: str,
    most_bytes: int,
    part: Part | None = None,
    accept: Accept | None = None,
) -> bytes:
    """Fetch an object, or a part of it.

    Args:
        client: The fsspec file system of the store.
        scheme: Of the store's addresses.
        path: As the client takes it.
        most_bytes: How many bytes to take.
        part: Which bytes; None for all.
        accept: Called with what the answer says, before its bytes are read; raises to refuse them.

    Raises:
        TooManyBytesError: There are more than `most_bytes`.
        Exception: What the client raises.
    """
    if scheme in _OPENED:
        arguments = (_OPENED[scheme], client, path, most_bytes, part, accept)
        content: bytes = sync(client.loop, _download, *arguments)
        return content
    start, end = part or (0, most_bytes + 1)  # a client of another kind, which gives no headers
    with client.open(path, "rb") as file:
        file.seek(start)
        content = bytes(file.read(end - start))
    _left(most_bytes, content)
    return content


async def _download(
    opened: _Opened,
    client: Any,
    path: str,
    most_bytes: int,
    part: Part | None,
    accept: Accept | None,
) -> bytes:
    async with opened(client, path, part, most_bytes) as (info, pieces):
        if accept:
            accept(info)
        if info.get("Content-Encoding") not in (None, "", "identity"):
            most_bytes = MAX_FILE_BYTES  # the client unpacks it, and its size was listed as packed
        taken: list[bytes] = []
        async for piece in pieces:
            taken.append(piece)
            most_bytes = _left(most_bytes, piece)
        return b"".join(taken)


def _left(most_bytes: int, piece: bytes) -> int:
    if len(piece) > most_bytes:
        raise TooManyBytesError
    return most_bytes - len(piece)


@asynccontextmanager
async def _from_web(
    client: Any, path: str, part: Part | None, _most_bytes: int
) -> AsyncIterator[_Answer]:
    session = await client.set_session()
    # Not packed for the way: sizes and etags would be others than those that were listed.
    headers = {"Accept-Encoding": "identity", **_range(part)}
    async with session.get(client.encode_url(path), headers=headers) as response:
        client._raise_not_found_for_status(response, path)
        if part and response.status != _PARTIAL:
            raise ValueError("the server does not give parts of a file (no ranges)")
        yield _said(response.headers), response.content.iter_any()


@asynccontextmanager
async def _from_s3(
    client: Any, path: str, part: Part | None, _most_bytes: int
) -> AsyncIterator[_Answer]:
    bucket, key, _ = client.split_path(path)
    answer = await client._call_s3("get_object", Bucket=bucket, Key=key, **_range(part))
    try:
        yield {"ETag": answer.get("ETag")}, answer["Body"].iter_chunks(_PIECE_BYTES)
    finally:
        answer["Body"].close()


@asynccontextmanager
async def _from_gcs(
    client: Any, path: str, part: Part | None, _most_bytes: int
) -> AsyncIterator[_Answer]:
    from gcsfs.retry import validate_response

    await client._set_session()
    async with client.session.get(
        client.url(path), headers=client._get_headers(_range(part)), timeout=client.requests_timeout
    ) as response:
        if response.status >= 400:
            validate_response(response.status, await response.content.read(_PIECE_BYTES), path)
        yield _said(response.headers), response.content.iter_any()


@asynccontextmanager
async def _from_azure(
    client: Any, path: str, part: Part | None, most_bytes: int
) -> AsyncIterator[_Answer]:
    """The client reads the first 32 MB before it gives anything back, so it is made to count itself."""
    info: dict[str, Any] = {}

    def count(response: Any) -> None:
        answer = response.http_response
        if answer.status_code < 300:
            info.update(_said(answer.headers))
            most = MAX_FILE_BYTES if "Content-Encoding" in info else most_bytes
            stream = answer.stream_download
            answer.stream_download = lambda *a, **options: _Bounded(stream(*a, **options), most)

    container, blob, _ = client.split_path(path)
    async with client.service_client.get_blob_client(container=container, blob=blob) as opened:
        start, end = part or (None, 0)
        stream = await opened.download_blob(
            offset=start,
            length=None if start is None else end - start,
            raw_response_hook=count,
            max_concurrency=1,
            **getattr(client, "_timeout_kwargs", {}),
        )
        yield info, stream.chunks()


class _Bounded:
    """The pieces of an answer of Azure's client, up to so many bytes."""

    def __init__(self, pieces: Any, most_bytes: int) -> None:
        self._pieces = pieces
        self._left = most_bytes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pieces, name)

    def __aiter__(self) -> _Bounded:
        return self

    async def __anext__(self) -> bytes:
        piece: bytes = await self._pieces.__anext__()
        try:
            self._left = _left(self._left, piece)
        except TooManyBytesError:
            self._pieces.response.internal_response.close()  # else the server goes on sending
            raise
        return piece


_OPENED: Mapping[str, _Opened] = {
    "http": _from_web,
    "https": _from_web,
    "s3": _from_s3,
    "gs": _from_gcs,
    "gcs": _from_gcs,
    "az": _from_azure,
    "abfs": _from_azure,
    "abfss": _from_azure,
}

_PARTIAL = 206


def _range(part: Part | None) -> dict[str, str]:
    """The header that asks for a part, which is also how S3's client calls the parameter."""
    return {"Range": f"bytes={part[0]}-{part[1] - 1}"} if part else {}


def _said(headers: Mapping[str, str]) -> Info:
    """Return what HTTP headers say of an object, by the names that listings use.

    The length of a part, or of what is packed for the way, is not its size.
    """
    names = ("ETag", "Last-Modified", "Content-Encoding")
    said: dict[str, Any] = {name: headers[name] for name in names if name in headers}
    if "Content-Length" in headers and not {"Content-Range", "Content-Encoding"} & {*headers}:
        said["size"] = int(headers["Content-Length"])
    return said
