"""A file that stays within reach, though its name be given to another one meanwhile."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any


class OpenFile:
    """A file that is open for reading until nobody refers to this object any more.

    Attributes:
        descriptor: Its number in this process.
        identity: Device and inode.
    """

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.descriptor)
        status = os.fstat(self.descriptor)
        self.identity = _identity(status)
        self._written = _written(status)

    def is_as_opened(self) -> bool:
        """Whether nobody has written to it since."""
        return _written(os.fstat(self.descriptor)) == self._written


class HeldFile:
    """A file that other processes get at too, as long as this one holds it. It can be pickled.

    Args:
        path: Its name.
        address: Where to open it instead, if its name may stand for another one by now.
    """

    def __init__(self, path: Path, address: Path | None = None) -> None:
        self._path = path
        self._process = os.getpid()
        self._open: OpenFile | None = OpenFile(address or path)
        self._descriptor, self._identity = self._open.descriptor, self._open.identity

    @property
    def opened(self) -> OpenFile | None:
        """The file, in the process that opened it and in its forks; None after `close`."""
        return self._open

    def address(self) -> Path:
        """A path to the file: where the system has none by descriptor (Linux has), the name itself."""
        held = Path(f"/proc/{self._process}/fd/{self._descriptor}")
        try:
            # After `close`, the number may be that of a pipe, from which reading would wait for ever.
            same = _identity(held.stat()) == self._identity
        except OSError:
            same = False
        return held if same else self._path

    def has_address(self) -> bool:
        """Whether `address` is this very file, whatever its name stands for."""
        return self.address() != self._path

    def close(self) -> None:
        """Let go of it; who is reading from it now, reads on."""
        self._open = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None}


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _written(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns
