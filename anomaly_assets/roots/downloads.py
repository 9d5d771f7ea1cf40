"""Download from a store with one request; count its bytes while they arrive.

The clients' own functions (`cat_file`) read everything that the server sends, without a limit, and
return neither etag nor time. So each kind of store has a function here that first returns the headers
of the answer, and then its bytes in pieces.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

from fsspec.asyn import sync

from anomaly_assets.roots.base import MAX_FILE_BYTES

Part: TypeAlias = tuple[int, int]
"""First byte of a range, and the position after its last byte."""

Info: TypeAlias = Mapping[str, Any]
"""Properties of an object in an answer: `ETag`, `Last-Modified`, `size` in bytes, if given."""

Accept: TypeAlias = Callable[[Info], None]

_PIECE_BYTES = 1024 * 1024

_Answer: TypeAlias = tuple[Info, AsyncIterator[bytes]]

_Opened: TypeAlias = Callable[[Any, str, "Part | None", int], AbstractAsyncContextManager[_Answer]]


class TooManyBytesError(Exception):
    """The answer has more bytes than the limit."""


def download(
    client: Any,
    scheme: str,
    path: str,
    most_bytes: int,
    part: Part | None = None,
    accept: Accept | None = None,
) -> bytes:
    """Download an object, or a range of its bytes.

    Args:
        client: The fsspec file system of the store.
        scheme: Scheme of the store's URLs.
        path: Path in the client's form.
        most_bytes: Maximum number of bytes.
        part: Range of bytes; None for all.
        accept: Called with the properties of the object before its bytes are read; raises to refuse them.

    Raises:
        TooManyBytesError: The answer has more than `most_bytes`.
        Exception: Any error of the client.
    """
    if scheme in _OPENED:
        arguments = (_OPENED[scheme], client, path, most_bytes, part, accept)
        content: bytes = sync(client.loop, _download, *arguments)
        return content
    start, end = part or (0, most_bytes + 1)  # another client, without headers
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
            most_bytes = MAX_FILE_BYTES  # the client unpacks it; the listed size is the packed one
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
    # No compression: sizes and etags would differ from the listed ones.
    headers = {"Accept-Encoding": "identity", **_range(part)}
    async with session.get(client.encode_url(path), headers=headers) as response:
        client._raise_not_found_for_status(response, path)
        if part and response.status != _PARTIAL:
            raise ValueError("the server does not support range requests")
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
    """Open an Azure download, and count its first bytes too.

    Azure's client reads the first 32 MB before it returns anything, so the count is done in its
    response hook.
    """
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
    """Pieces of an answer of Azure's client, up to a maximum number of bytes."""

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
            self._pieces.response.internal_response.close()  # otherwise the server continues to send
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
    """Return the header that requests a range; S3's client has a parameter of the same name."""
    return {"Range": f"bytes={part[0]}-{part[1] - 1}"} if part else {}


def _said(headers: Mapping[str, str]) -> Info:
    """Return an object's properties from HTTP headers, under the names that listings use.

    The length of a range, or of a compressed answer, is not the size of the object.
    """
    names = ("ETag", "Last-Modified", "Content-Encoding")
    said: dict[str, Any] = {name: headers[name] for name in names if name in headers}
    if "Content-Length" in headers and not {"Content-Range", "Content-Encoding"} & {*headers}:
        said["size"] = int(headers["Content-Length"])
    return said
