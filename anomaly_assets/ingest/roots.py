"""One way to list and open whatever holds a source dataset: a folder, a zip archive, a URL.

A root is only ever read. `open_root` picks the kind from the text; each kind lists `FileEntry` rows
without reading any content, and reads one file's bytes at a time from any thread.
"""

from __future__ import annotations

import os
import stat
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import fsspec

MAX_FILE_BYTES = 256 * 1024 * 1024
"""No image, mask or `Labels.txt` of these datasets comes near; larger files are not read."""

_UNPACK_FIRST = (".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2", ".7z", ".rar")


class RootError(RuntimeError):
    """A root is missing, unreadable or of an unsupported kind; the message says what to do."""


class FileUnreadableError(OSError):
    """One file below a root could not be read; the root as a whole may be fine."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file below a root.

    Attributes:
        path: Relative to the root, `/` between parts, as the store spells it.
        size_bytes: Size of the (uncompressed) content.
        modified_at: When the store says it was last modified, in UTC.
        version: Changes when the content may have changed: etag, crc, or size and mtime.
        problem: Why the file cannot be used at all, else None.
    """

    path: str
    size_bytes: int
    modified_at: datetime | None
    version: str
    problem: str | None = None


class Root(ABC):
    """A listable, readable collection of files.

    Attributes:
        uri: Address of the root without credentials, as it appears in tables and messages.
    """

    uri: str

    @abstractmethod
    def files(self) -> Iterator[FileEntry]:
        """List every file, in no particular order.

        Raises:
            RootError: The root does not exist or cannot be listed.
        """

    @abstractmethod
    def read(self, path: str) -> bytes:
        """Read one file whole.

        Raises:
            FileUnreadableError: It is gone, not permitted, damaged in its archive, or too large.
        """

    def uri_of(self, path: str) -> str:
        """Address of the file at `path`; `path_of` is its inverse."""
        return f"{self.uri}/{quote(path, errors='surrogateescape')}"

    def path_of(self, uri: str) -> str | None:
        """Path below this root of the file with address `uri`, or None if it lies elsewhere."""
        prefix = f"{self.uri}/"
        return (
            unquote(uri[len(prefix) :], errors="surrogateescape")
            if uri.startswith(prefix)
            else None
        )


def open_root(location: str) -> Root:
    """Open the root at `location`.

    Args:
        location: A folder, a `.zip` file, or an fsspec URL of either.

    Raises:
        RootError: The location is of a kind that cannot be read, or does not exist.
    """
    if location.lower().endswith(_UNPACK_FIRST):
        raise RootError(
            f"{location} is an archive that cannot be read in place: unpack it and give the folder, "
            "or repack it as .zip."
        )
    if "://" not in location or location.startswith("file://"):
        path = Path(unquote(location.removeprefix("file://")) if "://" in location else location)
        path = Path(os.path.abspath(path.expanduser()))
        if path.is_dir():
            return FolderRoot(path)
        if not path.exists():
            raise RootError(f"{path} does not exist.")
        if path.suffix.lower() == ".zip":
            return ZipRoot(path.as_uri(), fsspec.filesystem("file"), str(path))
        raise RootError(f"{path} is neither a folder nor a .zip archive.")
    return _open_url(location)


class FolderRoot(Root):
    """A folder on this machine, listed with `os.scandir` (an order faster than through fsspec)."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self.uri = folder.as_uri().rstrip("/")

    def files(self) -> Iterator[FileEntry]:
        """List the files below the folder; links to folders are not followed."""
        pending = [""]
        while pending:
            prefix = pending.pop()
            try:
                entries = os.scandir(os.path.join(self._folder, prefix))
            except OSError as error:
                raise RootError(
                    f"{os.path.join(self._folder, prefix)!r} cannot be listed: {error.strerror}. "
                    "Nothing was changed, because an unlisted folder would look like deleted files."
                ) from error
            with entries:
                for entry in entries:
                    path = prefix + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(path + "/")
                    else:
                        yield self._entry(path, entry)

    def _entry(self, path: str, entry: os.DirEntry[str]) -> FileEntry:
        try:
            status = entry.stat()
        except OSError:
            return FileEntry(path, 0, None, "", "broken_link")
        problem = None
        if not stat.S_ISREG(status.st_mode):
            problem = "linked_folder" if stat.S_ISDIR(status.st_mode) else "not_a_regular_file"
        elif entry.is_symlink() and not self._stays_inside(path):
            problem = "link_out_of_the_root"
        return FileEntry(
            path,
            status.st_size,
            datetime.fromtimestamp(status.st_mtime_ns // 1000 / 1e6, timezone.utc),
            f"{status.st_size}-{status.st_mtime_ns}",
            problem,
        )

    def _stays_inside(self, path: str) -> bool:
        real = os.path.realpath(os.path.join(self._folder, path))
        return real.startswith(os.path.realpath(self._folder) + os.sep)

    def read(self, path: str) -> bytes:
        """Read one file."""
        try:
            with open(os.path.join(self._folder, path), "rb") as file:
                # Python makes room for as many bytes as are asked for, so no more than that.
                expected_bytes = os.fstat(file.fileno()).st_size
                return _bounded(file.read(min(expected_bytes, MAX_FILE_BYTES) + 1), path)
        except (OSError, ValueError) as error:
            raise _unreadable(path, error) from error


class ZipRoot(Root):
    """A zip archive, read in place from any filesystem that can seek; versions are CRCs."""

    def __init__(self, archive_uri: str, filesystem: Any, archive_path: str) -> None:
        self.uri = f"zip+{archive_uri}!"
        self._opened_with = (archive_uri, filesystem, archive_path)
        try:
            self._archive = zipfile.ZipFile(filesystem.open(archive_path, "rb"))
        except (OSError, zipfile.BadZipFile) as error:
            raise RootError(f"{archive_uri} cannot be read as a zip archive: {error}") from error

    def __reduce__(self) -> tuple[type[ZipRoot], tuple[str, Any, str]]:
        return ZipRoot, self._opened_with

    def files(self) -> Iterator[FileEntry]:
        """List the members of the archive, from its directory."""
        for info in self._archive.infolist():
            if info.is_dir():
                continue
            problem = "encrypted_in_archive" if info.flag_bits & 1 else None
            if info is not self._archive.NameToInfo[info.filename]:
                problem = "superseded_in_archive"  # the same name again, further down
            yield FileEntry(
                info.filename,
                info.file_size,
                _zip_time(info.date_time),
                f"crc32-{info.CRC:08x}-{info.file_size}",
                problem,
            )

    def read(self, path: str) -> bytes:
        """Read one member; its CRC is verified."""
        try:
            with self._archive.open(path) as file:
                return _bounded(file.read(MAX_FILE_BYTES + 1), path)
        except (OSError, KeyError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise _unreadable(path, error) from error


class UrlRoot(Root):
    """A prefix in an object store or a web folder, through fsspec; versions are etags."""

    def __init__(self, uri: str, filesystem: Any, prefix: str) -> None:
        self.uri = uri.rstrip("/")
        self._filesystem = filesystem
        self._prefix = prefix.rstrip("/")

    def files(self) -> Iterator[FileEntry]:
        """List the objects below the prefix."""
        try:
            found = self._filesystem.find(self._prefix, detail=True)
        except Exception as error:
            raise RootError(f"{self.uri} cannot be listed: {error}") from error
        for name, info in found.items():
            path = name[len(self._prefix) :].lstrip("/")
            modified_at = next(
                (info[key] for key in ("LastModified", "last_modified", "mtime") if info.get(key)),
                None,
            )
            etag = str(info.get("ETag") or info.get("etag") or "").strip('"')
            size_bytes = int(info.get("size") or 0)
            yield FileEntry(
                path,
                size_bytes,
                modified_at if isinstance(modified_at, datetime) else None,
                f"etag-{etag}" if etag else f"{size_bytes}-{modified_at}",
            )

    def read(self, path: str) -> bytes:
        """Read one object."""
        try:
            return _bounded(self._filesystem.cat_file(f"{self._prefix}/{path}"), path)
        except Exception as error:
            raise _unreadable(path, error) from error


def _open_url(location: str) -> Root:
    try:
        filesystem, path = fsspec.core.url_to_fs(location)
    except (ImportError, ValueError) as error:
        raise RootError(f"{location.split('://')[0]}:// cannot be opened: {error}") from error
    if location.lower().endswith(".zip"):
        return ZipRoot(location, filesystem, path)
    return UrlRoot(location, filesystem, path)


def as_text(path: str) -> str:
    """The path as valid Unicode: bytes that are not UTF-8 are shown in hexadecimal."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _bounded(content: bytes, path: str) -> bytes:
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"larger than {MAX_FILE_BYTES} bytes")
    return content


def _unreadable(path: str, error: Exception) -> FileUnreadableError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return FileUnreadableError(f"{as_text(path)}: {as_text(reason)}")


def _zip_time(date_time: tuple[int, int, int, int, int, int]) -> datetime | None:
    try:
        return datetime(*date_time, tzinfo=timezone.utc)
    except ValueError:
        return None
