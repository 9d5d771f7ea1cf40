"""Pin a file by a descriptor: it stays readable after its name was given to another file."""

from __future__ import annotations

import errno
import os
import stat
import weakref
from pathlib import Path
from typing import Any

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
"""Without O_NONBLOCK, opening a named pipe waits until another program writes to it."""


class OpenFile:
    """A file opened for reading; the descriptor is closed when this object is garbage-collected.

    Attributes:
        descriptor: File descriptor in this process.
        identity: Device and inode.
        state: Device, inode, size in bytes and modification time in nanoseconds, when it was opened.

    Raises:
        OSError: The file cannot be opened, or is not a regular file.
    """

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, _FLAGS)
        weakref.finalize(self, os.close, self.descriptor)
        status = os.fstat(self.descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(path))
        self.identity = identity(status)
        self.state = _state(status)

    def is_as_opened(self) -> bool:
        """Return whether the file has the size and the modification time that it had when opened."""
        return _state(os.fstat(self.descriptor)) == self.state


class HeldFile:
    """A file held open by this process, which other processes can open too. It can be pickled.

    Args:
        path: Name of the file.
        address: Path to open instead of `path`, if the name may already belong to another file.

    Attributes:
        identity: Device and inode.
        state: See `OpenFile`.
    """

    def __init__(self, path: Path, address: Path | None = None) -> None:
        self._path = Path(os.path.abspath(path))
        self._process = os.getpid()
        self._open: OpenFile | None = OpenFile(address or path)
        self._descriptor = self._open.descriptor
        self.identity, self.state = self._open.identity, self._open.state

    @property
    def opened(self) -> OpenFile | None:
        """Return the open file, in the process that opened it and in its forks; None after `close`."""
        return self._open

    def address(self) -> Path:
        """Return a path to the file: below /proc, or its name on a system without /proc."""
        # A fork inherits the descriptor, and keeps it after its parent has ended.
        process = self._process if self._open is None else os.getpid()
        held = Path(f"/proc/{process}/fd/{self._descriptor}")
        try:
            # After `close`, the number may belong to a pipe; reading from it would block forever.
            same = identity(held.stat()) == self.identity
        except OSError:
            same = False
        return held if same else self._path

    def has_address(self) -> bool:
        """Return whether `address` is the path of a descriptor, which outlives a replaced file."""
        return self.address() != self._path

    def close(self) -> None:
        """Close the file when the last thread that reads from it is done."""
        self._open = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None}


def identity(status: os.stat_result) -> tuple[int, int]:
    """Return device and inode."""
    return status.st_dev, status.st_ino


def _state(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
