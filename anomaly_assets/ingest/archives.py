"""A zip archive as a root, read in place: on disk, behind HTTP with ranges, or in an object store.

The directory at the end of the archive is read once; it has names, sizes and CRCs. A member is one range
of bytes, so that any thread reads any member on its own, and every byte is fetched once.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Protocol

from anomaly_assets.ingest.roots import (
    MAX_FILE_BYTES,
    TOO_LARGE,
    FileEntry,
    FileUnreadableError,
    Root,
    RootError,
    changed,
    too_large,
    unreadable,
)

_ENCRYPTED = 1
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_LONGEST_LOCAL_HEADER = 30 + 2 * 0xFFFF


class Archive(Protocol):
    """Where the bytes of an archive are; safe to use from many threads, and picklable."""

    @property
    def uri(self) -> str:
        """Address without credentials."""

    def open(self) -> IO[bytes]:
        """The whole archive as a file that can seek."""

    def read(self, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end`, or to the end of the archive.

        Raises:
            RootError: The archive is gone, or its store does not answer.
        """


@dataclass(frozen=True)
class LocalArchive:
    """An archive on this machine."""

    path: str

    @property
    def uri(self) -> str:
        """Its file URL."""
        return Path(self.path).as_uri()

    def open(self) -> IO[bytes]:
        """Open it."""
        return open(self.path, "rb")

    def read(self, start: int, end: int) -> bytes:
        """Read a range."""
        try:
            with open(self.path, "rb") as file:
                file.seek(start)
                return file.read(end - start)
        except OSError as error:
            if not os.path.exists(self.path):
                raise RootError(
                    f"{self.path} was there when this run began, and is gone."
                ) from error
            raise


class ZipRoot(Root):
    """A zip archive; versions are the CRCs in its directory."""

    def __init__(self, archive: Archive) -> None:
        self.uri = f"zip+{archive.uri}!"
        self._archive = archive
        try:
            with archive.open() as file, zipfile.ZipFile(file) as directory:
                self._members = directory.infolist()
                self._by_name = dict(directory.NameToInfo)
                self._end = directory.start_dir
        except RootError:
            raise
        except (OSError, zipfile.BadZipFile, ValueError) as error:
            raise RootError(f"{archive.uri} cannot be read as a zip archive: {error}") from None
        starts = sorted({info.header_offset for info in self._members})
        self._next_start = dict(zip(starts, [*starts[1:], self._end], strict=True))

    def __reduce__(self) -> tuple[type[ZipRoot], tuple[Archive]]:
        return ZipRoot, (self._archive,)

    def files(self) -> Iterator[FileEntry]:
        """List the members of the archive, from its directory."""
        for info in self._members:
            if not info.is_dir():
                yield FileEntry(
                    info.filename,
                    info.file_size,
                    _modified_at(info),
                    _version(info),
                    self._problem(info),
                )

    def _problem(self, info: zipfile.ZipInfo) -> str | None:
        if info is not self._by_name[info.filename]:
            return "superseded_in_archive"  # the same name again, further down
        if info.flag_bits & _ENCRYPTED:
            return "encrypted_in_archive"
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return "unsupported_compression"
        return TOO_LARGE if max(info.file_size, info.compress_size) > MAX_FILE_BYTES else None

    def read(
        self, path: str, version: str | None = None, most_bytes: int = MAX_FILE_BYTES
    ) -> bytes:
        """Read one member; its length and its CRC are verified; see `Root`."""
        try:
            info = self._by_name[path]
            problem = self._problem(info)
            if problem:
                raise ValueError(problem.replace("_", " "))
            if version not in (None, _version(info)):
                raise changed(path)
            if info.file_size > most_bytes:
                raise too_large(path, most_bytes)
            content = self._decompressed(info)
            if len(content) != info.file_size or zlib.crc32(content) != info.CRC:
                raise ValueError("damaged in its archive: length or CRC differ")
        except (RootError, FileUnreadableError):
            raise
        except (OSError, LookupError, ValueError, struct.error, zlib.error) as error:
            raise unreadable(path, error) from error
        return content

    def _decompressed(self, info: zipfile.ZipInfo) -> bytes:
        start = info.header_offset
        longest = start + _LONGEST_LOCAL_HEADER + info.compress_size
        stored = self._archive.read(start, min(self._next_start[start], longest))
        signature, name_bytes, extra_bytes = _LOCAL_HEADER.unpack_from(stored)
        if signature != b"PK\x03\x04":
            raise ValueError("the archive changed while it was read, or is damaged")
        first = 30 + name_bytes + extra_bytes
        compressed = memoryview(stored)[first : first + info.compress_size]
        if info.compress_type == zipfile.ZIP_STORED:
            return bytes(compressed)
        # One byte more than announced tells a member that unpacks to more, and no more is made of it.
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(compressed, info.file_size + 1)


def _version(info: zipfile.ZipInfo) -> str:
    return f"crc32-{info.CRC:08x}-{info.file_size}"


def _modified_at(info: zipfile.ZipInfo) -> datetime | None:
    try:
        return datetime(*info.date_time, tzinfo=timezone.utc)
    except ValueError:
        return None
