"""One way to list and open whatever holds a source dataset: a folder, a zip archive, a URL.

A root is only ever read. `open_root` picks the kind from the text; each kind lists `FileEntry` rows
without reading any content, and reads one file's bytes at a time from any thread. The kinds are in
`folders.py`, `archives.py` and `stores.py`.
"""

from __future__ import annotations

import errno
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, unquote

from anomaly_assets.datasets.names import canonical_path, shown
from anomaly_assets.errors import AnomalyAssetsError

MAX_FILE_BYTES = 256 * 1024 * 1024
"""No image or mask of these datasets comes near; larger files are not read."""

TOO_LARGE = "file_too_large"
"""Problem of a file above `MAX_FILE_BYTES`, and of a labels file above what its parser takes."""

_PLAIN = re.compile(r"[\w.~/-]*", re.ASCII).fullmatch  # needs no quoting, as nearly every path


class RootError(AnomalyAssetsError, RuntimeError):
    """A root is missing, unreadable or of an unsupported kind; the message says what to do."""


class FileUnreadableError(AnomalyAssetsError, OSError):
    """One file below a root could not be read; the root as a whole may be fine."""


class AccessDeniedError(FileUnreadableError):
    """A store wants other credentials, or those that it got have no right to read this."""


class FileChangedError(FileUnreadableError):
    """A file is not the one that was listed: its bytes must not be stored under the listed version."""


class FileTooLargeError(FileUnreadableError):
    """A file has more bytes than may be read of it."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file below a root.

    Attributes:
        path: Relative to the root, `/` between parts, as the store spells it; what `Root.read` takes.
        size_bytes: Size of the (uncompressed) content.
        modified_at: When the store says it was last modified, in UTC.
        version: Changes when the content may have changed: etag, crc, or size and mtime.
        problem: Why the file cannot be used at all, else None.
        name: What the path means, where the root has evidence that its spelling needs decoding, else None.
    """

    path: str
    size_bytes: int
    modified_at: datetime | None
    version: str
    problem: str | None = None
    name: str | None = None

    @property
    def meant_path(self) -> str:
        """The path as text: `name` where there is one, else `path`."""
        return self.path if self.name is None else self.name

    @property
    def canonical_path(self) -> str:
        """The path in the spelling of ids and pairs; never for reading."""
        return canonical_path(self.meant_path)


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
    def read(
        self, path: str, version: str | None = None, most_bytes: int = MAX_FILE_BYTES
    ) -> bytes:
        """Read one file whole; bytes are counted as they come, and no more than `most_bytes` are kept.

        Args:
            path: Relative to the root, as it was listed.
            version: The version that was listed; None takes whatever is there now.
            most_bytes: Refuse a file that has more.

        Raises:
            FileChangedError: The file has another version than `version`, or got one while it was read.
            FileTooLargeError: It has more than `most_bytes` bytes.
            FileUnreadableError: It is gone, not permitted, or damaged in its archive.
            RootError: The root is gone, or its store does not answer.
        """

    def uri_of(self, path: str) -> str:
        """Address of the file at `path`; `path_of` is its inverse."""
        quoted = path if _PLAIN(path) else quote(path, errors="surrogateescape")
        return f"{self.uri}/{quoted}"

    def path_of(self, uri: str) -> str | None:
        """Path below this root of the file with address `uri`, or None if it lies elsewhere."""
        prefix = f"{self.uri}/"
        return (
            unquote(uri[len(prefix) :], errors="surrogateescape")
            if uri.startswith(prefix)
            else None
        )


def too_large(path: str, most_bytes: int) -> FileTooLargeError:
    """Make the error for a file that has more bytes than may be read of it."""
    return FileTooLargeError(f"{shown(path)}: larger than {most_bytes} bytes")


def changed(path: str) -> FileChangedError:
    """Make the error for a file that has another version than the listed one."""
    return FileChangedError(
        f"{shown(path)}: not the file that was listed, because it was changed or replaced since"
    )


_OF_THE_MACHINE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
"""Error numbers that tell of missing memory or descriptors, whichever file is opened."""


def unreadable(path: str, error: Exception) -> FileUnreadableError:
    """Make the error for one file, with a reason that people can read.

    Raises:
        OSError: `error` itself, where it is about the machine and not about the file.
    """
    if getattr(error, "errno", None) in _OF_THE_MACHINE:
        raise error
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return FileUnreadableError(f"{shown(path)}: {shown(reason)}")
