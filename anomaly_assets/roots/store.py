"""List and read object stores and web folders as roots, through fsspec.

A store that does not answer, after all retries, ends the run. An object that the store does not have,
or denies, is a file that cannot be read.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from html import unescape
from typing import IO, Any
from urllib.parse import quote, unquote, urljoin, urlsplit

from anomaly_assets.roots.archive import ZipRoot
from anomaly_assets.roots.base import (
    MAX_FILE_BYTES,
    TOO_LARGE,
    FileEntry,
    FileTooLargeError,
    FileUnreadableError,
    Root,
    RootError,
    changed,
)
from anomaly_assets.roots.retries import WEB_SCHEMES, Store

_HEADS_AT_ONCE = 16
_BLOCK_BYTES = 1024 * 1024

MAX_PAGE_BYTES = 32 * 1024 * 1024
"""Size limit of a page that lists a web folder; 200,000 names take about as much."""


def open_store(location: str) -> Root:
    """Open a prefix of an object store, a web folder, or a zip archive in either.

    Args:
        location: An fsspec URL.

    Raises:
        RootError: The scheme is unknown, its extra is not installed, or an archive cannot be read.
    """
    store = Store(location)
    if store.path.lower().endswith(".zip"):
        return ZipRoot(StoredArchive(store))
    if store.scheme in WEB_SCHEMES and "?" in location:
        raise RootError(
            f"{store.uri}: only the URL of a zip archive may have a query, because every "
            "file of a folder would need its own query."
        )
    return WebRoot(store) if store.scheme in WEB_SCHEMES else StoreRoot(store)


@dataclass(frozen=True)
class StoredArchive:
    """A zip archive in a store; reads are range requests."""

    store: Store

    @property
    def uri(self) -> str:
        """Return the URL without credentials."""
        return self.store.uri

    def open(self) -> IO[bytes]:
        """Open the archive to read its directory, which is at its end."""
        try:
            info = self.store.request(lambda: self.store.filesystem.info(self._path), self.uri)
        except FileUnreadableError as error:
            raise self.store.refusal("cannot be opened", error) from None
        if not info.get("size") or not info.get("partial", True):
            raise RootError(
                f"{self.uri}: the server does not support range requests, which a zip archive needs. "
                "Download the archive and give its path."
            )
        return io.BufferedReader(_Ranges(self, int(info["size"])), _BLOCK_BYTES)

    def read(self, start: int, end: int) -> bytes:
        """Return a range of bytes."""
        return self.store.read(self._path, self.uri, end - start, part=(start, end))

    @property
    def _path(self) -> str:
        return f"{self.store.path}?{self.store.query}" if self.store.query else self.store.path


class _Ranges(io.RawIOBase):
    """An archive as a seekable file: each read is one range request of the requested length."""

    def __init__(self, archive: StoredArchive, size_bytes: int) -> None:
        self._archive = archive
        self._size_bytes = size_bytes
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}[whence]
        if base + offset < 0:
            raise OSError("a position before the beginning of the archive")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        end = min(self._position + len(buffer), self._size_bytes)
        if end <= self._position:
            return 0
        try:
            content = self._archive.read(self._position, end)
        except FileUnreadableError as error:  # zipfile would report an OSError as "not a zip file"
            raise RootError(f"The directory of an archive cannot be read: {error}") from None
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)


class StoreRoot(Root):
    """A prefix in an object store; versions are etags."""

    def __init__(self, store: Store) -> None:
        self.uri = store.uri
        self._store = store

    def files(self) -> Iterator[FileEntry]:
        """Yield the objects below the prefix; nothing is downloaded."""
        try:
            found = self._store.request(self._find, self.uri)
        except FileUnreadableError as error:
            raise self._store.refusal("cannot be listed", error) from None
        if not found:
            raise RootError(f"{self.uri} does not exist, or is empty.")
        for path, info in found.items():
            size_bytes = int(info.get("size") or 0)
            yield FileEntry(
                path,
                size_bytes,
                _modified_at(info),
                _version(info),
                TOO_LARGE if size_bytes > MAX_FILE_BYTES else info.get("problem"),
            )

    def _find(self) -> dict[str, dict[str, Any]]:
        """Return the store's properties of each object, by path below the prefix."""
        found = self._store.filesystem.find(self._store.path, detail=True)
        start = len(self._store.path) + 1
        # The prefix itself may be an object: stores have no folders, and some tools write markers.
        return {
            name[start:]: info
            for name, info in found.items()
            if len(name) > start and not name.endswith("/")
        }

    def read(
        self, path: str, version: str | None = None, most_bytes: int = MAX_FILE_BYTES
    ) -> bytes:
        """Return the bytes of one object, with one request; see `Root`."""

        def refuse_another(info: Mapping[str, Any]) -> None:
            if version is not None and _is_another(version, info):
                raise changed(path)

        content = self._store.read(self._name(path), path, most_bytes, accept=refuse_another)
        if version is not None and _is_another(version, {"size": len(content)}):
            raise changed(path)
        return content

    def _name(self, path: str) -> str:
        return f"{self._store.path}/{path}"


class WebRoot(StoreRoot):
    """A web folder that its server lists in HTML; versions are etags, one request per file."""

    def _find(self) -> dict[str, dict[str, Any]]:
        paths = [path for path in self._linked() if not path.endswith("/")]
        pool = ThreadPoolExecutor(_HEADS_AT_ONCE, thread_name_prefix="head")
        try:
            return dict(zip(paths, pool.map(self._info, paths), strict=True))
        finally:
            pool.shutdown(cancel_futures=True)

    def _info(self, path: str) -> dict[str, Any]:
        info = self._store.filesystem.info
        try:
            return dict(self._store.request(lambda: info(self._name(path)), path))
        except FileUnreadableError:
            return {"problem": "broken_link"}

    def _linked(self) -> Iterator[str]:
        """Yield the paths of the files and folders below the root; folders end with `/`."""
        pending, seen = [""], {""}
        while pending:
            folder = pending.pop()
            for path in self._links_of(folder):
                # A page also links to itself in other orders, and to folders above it.
                if path in seen or not path.startswith(folder) or ".." in path.split("/"):
                    continue
                seen.add(path)
                yield path
                if path.endswith("/"):
                    pending.append(path)

    def _links_of(self, folder: str) -> Iterator[str]:
        """Yield the paths below the root that the page of a folder links to.

        Raises:
            RootError: The page has more than `MAX_PAGE_BYTES` bytes, or the server does not answer.
            FileUnreadableError: The server denies the page.
        """
        address = self._name(folder)
        try:
            page = self._store.read(address, address, MAX_PAGE_BYTES)
        except FileTooLargeError as error:
            raise RootError(
                f"{error}, so it is not a list of files. Set the root to a folder that the server lists."
            ) from None
        root = urlsplit(f"{self.uri}/")
        above = unquote(root.path)
        for link in _links(page.decode("utf-8", "replace")):
            try:
                told = urlsplit(urljoin(address, link))
            except ValueError:
                continue
            path = unquote(told.path)
            if told.netloc.lower() == root.netloc.lower() and path.startswith(above):
                yield path[len(above) :]

    def _name(self, path: str) -> str:
        return f"{self.uri}/{quote(path)}"


def _links(page: str) -> list[str]:
    """Return the links of an HTML page, or the URLs in plain text, in linear time."""
    found: dict[str, None] = {}
    for tag in _LINK.finditer(page):
        if link := _TARGET.search(tag[0]):
            with suppress(ValueError):  # an entity with thousands of digits is not a character
                found[unescape(link["quoted"] or link["plain"])] = None
    return list(found) or _ADDRESS.findall(page)


_LINK = re.compile(r"<a\s[^<>]*", re.IGNORECASE)
_TARGET = re.compile(
    r"""\shref\s*=\s*(?:(?P<quote>["'])(?P<quoted>[^"']+)(?P=quote)|(?P<plain>[^\s"'>]+))""",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"https?://[-a-zA-Z0-9@:%_+.~#?&/=]+")


def _version(info: Mapping[str, Any]) -> str:
    """Return the version of an object: its etag, or size and time."""
    etag = _etag(info)
    return f"etag-{etag}" if etag else f"{int(info.get('size') or 0)}-{_modified_at(info)}"


def _is_another(version: str, info: Mapping[str, Any]) -> bool:
    """Return whether a response certainly has another file version than the listed one.

    Only properties that were listed and are in the response can be compared: some servers send the size
    of a file in one response and not in the next.
    """
    if version.startswith(_ETAG):
        etag = _etag(info)
        return bool(etag) and _opaque(etag) != _opaque(version.removeprefix(_ETAG))
    size, _, modified_at = version.partition("-")
    listed = ((size, "0", info.get("size")), (modified_at, "None", _modified_at(info)))
    return any(
        known != unknown and now is not None and known != str(now) for known, unknown, now in listed
    )


_ETAG = "etag-"


def _etag(info: Mapping[str, Any]) -> str:
    return str(info.get("ETag") or info.get("etag") or "").strip('"')


def _opaque(etag: str) -> str:
    """Return an etag without its weak prefix `W/`, which some servers send only sometimes."""
    return etag.removeprefix("W/").strip('"')


def _modified_at(info: Mapping[str, Any]) -> datetime | None:
    for key in ("LastModified", "last_modified", "updated", "mtime", "Last-Modified"):
        value = info.get(key)
        if isinstance(value, str):
            try:
                value = (
                    parsedate_to_datetime(value)
                    if "," in value
                    else datetime.fromisoformat(value.replace("Z", "+00:00"))
                )
            except ValueError:
                continue
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=timezone.utc)
    return None
