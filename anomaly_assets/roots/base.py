"""Define the interface of roots: list and read the files of a folder, a zip archive or a URL.

A root is never written to. `open_root` chooses the kind by the location. Each kind lists `FileEntry`
rows without reading content, and reads one file at a time from any thread. The kinds are in
`folder.py`, `archive.py` and `store.py`.
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
"""Maximum size of a file in bytes; images and masks of the built-in datasets are much smaller."""

TOO_LARGE = "file_too_large"
"""Problem of a file above `MAX_FILE_BYTES`, and of a labels file above the limit of its parser."""

_PLAIN = re.compile(r"[\w.~/-]*", re.ASCII).fullmatch  # needs no quoting, as nearly every path


class RootError(AnomalyAssetsError, RuntimeError):
    """A root is missing, unreadable or of an unsupported kind; the message explains what to do."""


class FileUnreadableError(AnomalyAssetsError, OSError):
    """One file below a root could not be read; the root itself may be usable."""


class AccessDeniedError(FileUnreadableError):
    """A store requires other credentials, or these credentials may not read the file."""


class FileChangedError(FileUnreadableError):
    """The file differs from the listed one: its bytes must not be stored under the listed version."""


class FileTooLargeError(FileUnreadableError):
    """The file has more bytes than its limit."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file below a root.

    Attributes:
        path: Relative to the root, `/` between parts, in the store's spelling; argument of `Root.read`.
        size_bytes: Size of the (uncompressed) content.
        modified_at: Modification time according to the store, in UTC.
        version: Changes if the content may have changed: etag, CRC, or size and mtime.
        problem: Reason why the file cannot be used at all, else None.
        name: The path as text, if the root has decoded it from another spelling, else None.
    """

    path: str
    size_bytes: int
    modified_at: datetime | None
    version: str
    problem: str | None = None
    name: str | None = None

    @property
    def meant_path(self) -> str:
        """Return the path as text: `name` if set, else `path`."""
        return self.path if self.name is None else self.name

    @property
    def canonical_path(self) -> str:
        """Return the path in the spelling of ids and pairs; not for reading."""
        return canonical_path(self.meant_path)


class Root(ABC):
    """A collection of files that can be listed and read.

    Attributes:
        uri: URL of the root without credentials, for tables and messages.
        follows_links: Whether symbolic links that leave the root are read.
    """

    uri: str
    follows_links: bool = False

    @abstractmethod
    def files(self) -> Iterator[FileEntry]:
        """Yield every file, in no particular order.

        Raises:
            RootError: The root does not exist or cannot be listed.
        """

    @abstractmethod
    def read(
        self, path: str, version: str | None = None, most_bytes: int = MAX_FILE_BYTES
    ) -> bytes:
        """Return the bytes of one file; they are counted while they arrive, up to `most_bytes`.

        Args:
            path: Relative to the root, as listed.
            version: The listed version; None accepts the current one.
            most_bytes: Maximum size; a larger file is refused.

        Raises:
            FileChangedError: The file has another version than `version`, or changed while it was read.
            FileTooLargeError: The file has more than `most_bytes` bytes.
            FileUnreadableError: The file does not exist, is not accessible, or is damaged in its archive.
            RootError: The root does not exist, or its store does not answer.
        """

    def uri_of(self, path: str) -> str:
        """Return the URL of the file at `path`; `path_of` is the inverse."""
        quoted = path if _PLAIN(path) else quote(path, errors="surrogateescape")
        return f"{self.uri}/{quoted}"

    def path_of(self, uri: str) -> str | None:
        """Return the path of the file with URL `uri`; None if it is not below this root."""
        prefix = f"{self.uri}/"
        return (
            unquote(uri[len(prefix) :], errors="surrogateescape")
            if uri.startswith(prefix)
            else None
        )


def too_large(path: str, most_bytes: int) -> FileTooLargeError:
    """Return the error for a file with more bytes than its limit."""
    return FileTooLargeError(f"{shown(path)}: larger than {most_bytes} bytes")


def changed(path: str) -> FileChangedError:
    """Return the error for a file whose version differs from the listed one."""
    return FileChangedError(
        f"{shown(path)}: not the file that was listed, because it was changed or replaced since"
    )


_OF_THE_MACHINE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
"""Error numbers of missing memory or descriptors, which do not depend on the file."""


def unreadable(path: str, error: Exception) -> FileUnreadableError:
    """Return the error for one file, with a readable reason.

    Raises:
        OSError: `error` itself, if its cause is not the file: no memory or no descriptors are left.
    """
    if getattr(error, "errno", None) in _OF_THE_MACHINE:
        raise error
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return FileUnreadableError(f"{shown(path)}: {shown(reason)}")
