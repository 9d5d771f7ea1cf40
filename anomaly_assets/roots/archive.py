"""Read a zip archive as a root, in place: on disk, over HTTP with ranges, or in an object store.

The directory at the end of the archive is read once; it has names, sizes and CRCs. A member is one
range of bytes, so threads read members independently, and every byte is fetched once.

A name in a zip is a sequence of bytes, and the path of a member keeps these bytes. They are decoded by
the first rule that applies: as UTF-8 if the UTF-8 flag is set; from a Unicode path in the extra field
(Info-ZIP's 0x7075); as UTF-8 if they are valid UTF-8 (macOS and most Unix programs do not set the flag);
as cp437, the default of the format.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Protocol

from anomaly_assets.datasets.names import shown
from anomaly_assets.roots.base import (
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
_UTF_8 = 0x800
_UNICODE_PATH = 0x7075
_FAT = 0
"""Creator code of Windows and MS-DOS in an archive's directory; their names contain no backslash."""

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_LONGEST_LOCAL_HEADER = 30 + 2 * 0xFFFF


class Archive(Protocol):
    """Access to the bytes of an archive; thread-safe, and can be pickled."""

    @property
    def uri(self) -> str:
        """Return the URL without credentials."""

    def open(self) -> IO[bytes]:
        """Open the whole archive as a seekable file."""

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` to before `end`, or to the end of the archive.

        Raises:
            RootError: The archive is gone, or its store does not answer.
        """


@dataclass(frozen=True)
class LocalArchive:
    """An archive on this machine."""

    path: str

    @property
    def uri(self) -> str:
        """Return the file URL of the archive."""
        return Path(self.path).as_uri()

    def open(self) -> IO[bytes]:
        """Open the archive."""
        return open(self.path, "rb")

    def read(self, start: int, end: int) -> bytes:
        """Return a range of bytes."""
        try:
            with open(self.path, "rb") as file:
                file.seek(start)
                return file.read(end - start)
        except OSError as error:
            if not os.path.exists(self.path):
                raise RootError(
                    f"{shown(self.path)} was there when this run began, but no longer exists."
                ) from error
            raise


class ZipRoot(Root):
    """A zip archive as a root; versions are the CRCs in its directory."""

    def __init__(self, archive: Archive) -> None:
        self.uri = f"zip+{archive.uri}!"
        self._archive = archive
        try:
            with archive.open() as file, zipfile.ZipFile(file) as directory:
                self._members = [(_path_of(info), info) for info in directory.infolist()]
                self._end = directory.start_dir
        except RootError:
            raise
        except UnicodeDecodeError:
            raise RootError(
                f"{archive.uri} cannot be read as a zip archive: a member's name is marked as UTF-8 but is "
                "not valid UTF-8. Pack the archive again, or unpack it and give the folder."
            ) from None
        except (OSError, zipfile.BadZipFile, ValueError) as error:
            raise RootError(
                f"{archive.uri} cannot be read as a zip archive: {shown(error)}"
            ) from None
        self._by_path = dict(self._members)
        starts = sorted({info.header_offset for _, info in self._members})
        self._next_start = dict(zip(starts, [*starts[1:], self._end], strict=True))

    def __reduce__(self) -> tuple[type[ZipRoot], tuple[Archive]]:
        return ZipRoot, (self._archive,)

    def files(self) -> Iterator[FileEntry]:
        """Yield the members of the archive, from its directory."""
        for path, info in self._members:
            name = _meaning_of(info)
            entry = FileEntry(
                path,
                info.file_size,
                _modified_at(info),
                _version(info),
                self._problem(path, info),
                None if name == path else name,
            )
            empty_folder = entry.canonical_path.endswith("/") and not info.file_size
            if not (path.endswith("/") or empty_folder):
                yield entry

    def _problem(self, path: str, info: zipfile.ZipInfo) -> str | None:
        if info is not self._by_path[path]:
            return "superseded_in_archive"  # the same name again, further down
        if info.flag_bits & _ENCRYPTED:
            return "encrypted_in_archive"
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return "unsupported_compression"
        return TOO_LARGE if max(info.file_size, info.compress_size) > MAX_FILE_BYTES else None

    def read(
        self, path: str, version: str | None = None, most_bytes: int = MAX_FILE_BYTES
    ) -> bytes:
        """Return the bytes of one member, after verifying length and CRC; see `Root`."""
        try:
            info = self._by_path[path]
            problem = self._problem(path, info)
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
        # One byte more than announced shows that a member is too long; the rest is not unpacked.
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(compressed, info.file_size + 1)


def _version(info: zipfile.ZipInfo) -> str:
    return f"crc32-{info.CRC:08x}-{info.file_size}"


def _bytes_of_name(info: zipfile.ZipInfo) -> bytes:
    """Return the bytes of a name in the archive; `zipfile` has decoded them by the UTF-8 flag only."""
    encoding = "utf-8" if info.flag_bits & _UTF_8 else "cp437"
    return info.orig_filename.encode(encoding).partition(b"\0")[0]


def _path_of(info: zipfile.ZipInfo) -> str:
    """Return the path of a member: UTF-8, with surrogates for other bytes, so that no byte is lost."""
    return _bytes_of_name(info).decode("utf-8", "surrogateescape")


def _meaning_of(info: zipfile.ZipInfo) -> str:
    """Return the name of a member as text."""
    spelled = _bytes_of_name(info)
    name = _unicode_path(info, spelled)
    if name is None:
        try:
            name = spelled.decode("utf-8")
        except UnicodeDecodeError:
            # In other code pages of Windows, a backslash byte can be the second byte of a letter.
            return spelled.decode("cp437")
    # `canonical_path` decides about a name without any `/`, for all kinds of roots.
    return name.replace("\\", "/") if info.create_system == _FAT and "/" in name else name


def _unicode_path(info: zipfile.ZipInfo, spelled: bytes) -> str | None:
    """Return the name in Info-ZIP's extra field; None if there is none, or if it is for another name."""
    if info.flag_bits & _UTF_8:
        return None
    extra = info.extra
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == _UNICODE_PATH and len(field) > 5:
            version, crc = struct.unpack_from("<BL", field)
            if version == 1 and crc == zlib.crc32(spelled):
                with suppress(UnicodeDecodeError):
                    return field[5:].decode("utf-8").partition("\0")[0]
    return None


def _modified_at(info: zipfile.ZipInfo) -> datetime | None:
    try:
        return datetime(*info.date_time, tzinfo=timezone.utc)
    except ValueError:
        return None
