"""Object stores and web folders as roots, through fsspec.

A store that does not answer, however often it is asked, ends the run; an object that the store does not
have, or does not give, is a file that cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from html import unescape
from typing import IO, Any
from urllib.parse import quote, unquote, urljoin, urlsplit

from anomaly_assets.ingest.archives import ZipRoot
from anomaly_assets.ingest.requests import WEB_SCHEMES, Store
from anomaly_assets.ingest.roots import (
    MAX_FILE_BYTES,
    TOO_LARGE,
    FileEntry,
    FileUnreadableError,
    Root,
    RootError,
)

_HEADS_AT_ONCE = 16
_BLOCK_BYTES = 1024 * 1024


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
            f"{store.uri}: an address with a query can only be that of a zip archive, because every "
            "file of a folder would need a query of its own."
        )
    return WebRoot(store) if store.scheme in WEB_SCHEMES else StoreRoot(store)


@dataclass(frozen=True)
class StoredArchive:
    """A zip archive in a store; reads are ranges."""

    store: Store

    @property
    def uri(self) -> str:
        """Address without credentials."""
        return self.store.uri

    def open(self) -> IO[bytes]:
        """Open it for its directory, which lies at the end."""
        try:
            opened = self.store.request(
                lambda: self.store.filesystem.open(
                    self._path, "rb", block_size=_BLOCK_BYTES, cache_type="bytes"
                ),
                self.uri,
            )
        except FileUnreadableError as error:
            raise RootError(f"{self.uri} cannot be opened: {error}") from None
        if not opened.seekable():
            raise RootError(
                f"{self.uri}: the server does not give parts of a file (no ranges). Download the "
                "archive and give its path."
            )
        return opened

    def read(self, start: int, end: int) -> bytes:
        """Read a range."""
        read = self.store.filesystem.cat_file
        return self.store.request(lambda: bytes(read(self._path, start=start, end=end)), self.uri)

    @property
    def _path(self) -> str:
        return f"{self.store.path}?{self.store.query}" if self.store.query else self.store.path


class StoreRoot(Root):
    """A prefix in an object store; versions are etags."""

    def __init__(self, store: Store) -> None:
        self.uri = store.uri
        self._store = store

    def files(self) -> Iterator[FileEntry]:
        """List the objects below the prefix; nothing is downloaded."""
        try:
            found = self._store.request(self._find, self.uri)
        except FileUnreadableError as error:
            raise RootError(f"{self.uri} cannot be listed: {error}") from None
        if not found:
            raise RootError(f"{self.uri} does not exist, or is empty.")
        for path, info in found.items():
            etag = str(info.get("ETag") or info.get("etag") or "").strip('"')
            size_bytes = int(info.get("size") or 0)
            modified_at = _modified_at(info)
            yield FileEntry(
                path,
                size_bytes,
                modified_at,
                f"etag-{etag}" if etag else f"{size_bytes}-{modified_at}",
                TOO_LARGE if size_bytes > MAX_FILE_BYTES else info.get("problem"),
            )

    def _find(self) -> dict[str, dict[str, Any]]:
        """Path below the prefix to what the store says about the object."""
        found = self._store.filesystem.find(self._store.path, detail=True)
        start = len(self._store.path) + 1
        # The prefix itself may be an object: stores have no folders, and some tools make markers.
        return {
            name[start:]: info
            for name, info in found.items()
            if len(name) > start and not name.endswith("/")
        }

    def read(self, path: str) -> bytes:
        """Read one object."""
        read = self._store.filesystem.cat_file
        return self._store.request(lambda: bytes(read(self._name(path))), path)

    def _name(self, path: str) -> str:
        return f"{self._store.path}/{path}"


class WebRoot(StoreRoot):
    """A web folder whose server lists it in HTML; versions are etags, asked for file by file."""

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
        """Paths of the files and folders below the root; those of folders end with `/`."""
        pending, seen = [""], {""}
        while pending:
            folder = pending.pop()
            for path in self._links_of(folder):
                # Besides what is in it, a page links to itself in other orders, and to folders above it.
                if path in seen or not path.startswith(folder) or ".." in path.split("/"):
                    continue
                seen.add(path)
                yield path
                if path.endswith("/"):
                    pending.append(path)

    def _links_of(self, folder: str) -> Iterator[str]:
        """Paths that the page of a folder links to, as far as they are below the root."""
        address = self._name(folder)
        read = self._store.filesystem.cat_file
        page = self._store.request(lambda: bytes(read(address)), address)
        root = urlsplit(f"{self.uri}/")
        for link in _links(page.decode("utf-8", "replace")):
            try:
                told = urlsplit(urljoin(address, link))
            except ValueError:
                continue
            path, above = unquote(told.path), unquote(root.path)
            if told.netloc.lower() == root.netloc.lower() and path.startswith(above):
                yield path[len(above) :]

    def _name(self, path: str) -> str:
        return f"{self.uri}/{quote(path)}"


def _links(page: str) -> list[str]:
    """List what an HTML page links to, in time proportional to its length; of plain text, its addresses."""
    found: dict[str, None] = {}
    for tag in page.split("<")[1:]:
        if tag[:1] in ("a", "A") and tag[1:2].isspace():
            link = _TARGET.search(tag.partition(">")[0])
            if link:
                found[unescape(link["quoted"] or link["plain"])] = None
    return list(found) or _ADDRESS.findall(page)


_TARGET = re.compile(
    r"""\shref\s*=\s*(?:(?P<quote>["'])(?P<quoted>[^"']+)(?P=quote)|(?P<plain>[^\s"'>]+))""",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"https?://[-a-zA-Z0-9@:%_+.~#?&/=]+")


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
