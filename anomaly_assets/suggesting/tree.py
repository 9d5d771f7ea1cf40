"""Hold the files of a folder, and read few of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from anomaly_assets.datasets.declaration import SUFFIXES
from anomaly_assets.datasets.names import normalized
from anomaly_assets.datasets.record import is_junk, is_unsafe, split_name

PICTURES = frozenset(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)

MOST_READS = 200
"""Maximum number of files that are read for one suggestion."""

MOST_BYTES = 4 * 1024 * 1024
"""Maximum size of a table, or JSON, that is read, in bytes."""

_Any = TypeVar("_Any")


@dataclass(frozen=True, slots=True)
class File:
    """A file below the root.

    Attributes:
        path: Path as listed, to read it.
        folders: Folders, with composed accents.
        stem: Name without suffix.
        suffix: Suffix in lower case with its dot.
        size: Bytes.
    """

    path: str
    folders: tuple[str, ...]
    stem: str
    suffix: str
    size: int

    @property
    def parts(self) -> list[str]:
        """Return folders and stem."""
        return [*self.folders, self.stem]


@dataclass
class Reader:
    """Read files until enough were read.

    Attributes:
        read: Function that reads one.
        left: Files that may still be read.
    """

    read: Callable[[str], bytes]
    left: int = MOST_READS
    failed: list[str] = field(default_factory=list)

    def content(self, file: File, most: int = MOST_BYTES) -> bytes | None:
        """Return the content; None if it is too large, cannot be read, or enough was read."""
        if not self.left or file.size > most:
            return None
        self.left -= 1
        try:
            return self.read(file.path)
        except OSError:
            self.failed.append(file.path)
            return None


def files_of(listed: Iterable[tuple[str, int]]) -> list[File]:
    """Return the files that a declaration could name, sorted by path."""
    found = []
    for path, size in sorted(listed):
        *folders, name = normalized(path).split("/")
        parts = [*folders, name]
        if not is_unsafe(parts) and not is_junk(parts):
            found.append(File(path, tuple(folders), *split_name(name), size))
    return found


def spread(items: Sequence[_Any], most: int) -> list[_Any]:
    """Return at most this number of items, evenly spread."""
    if len(items) <= most:
        return list(items)
    return [items[number * len(items) // most] for number in range(most)]
