"""Copy a large file while the disk already writes the copied part."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

_AT_ONCE = 8 * 1024 * 1024
_SYNC_FILE_RANGE_WRITE = 2

_CANNOT = (errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP)
"""Error numbers of a system that cannot copy between these two files in the kernel."""


def copy_file(source: Path, target: Path) -> None:
    """Copy a file, and start writing each copied part to the disk at once.

    Copying first and writing afterwards takes half as long again. The caller must sync the copy before
    it renames it.

    Args:
        source: Nothing writes to it meanwhile.
        target: Created or overwritten.

    Raises:
        OSError: The copy cannot be written, for instance because the disk is full.
    """
    with open(source, "rb") as read, open(target, "wb") as written:
        size, copied = os.fstat(read.fileno()).st_size, 0
        if size and hasattr(os, "posix_fallocate"):
            # Reserving the space is a quarter faster, and reports a full disk before anything is
            # copied.
            os.posix_fallocate(written.fileno(), 0, size)
        begin_writing = _begin_writing()
        while copied < size:
            some = _copy_some(read.fileno(), written.fileno(), copied)
            if not some:
                raise OSError(errno.EIO, "The file became shorter while it was copied", str(source))
            if begin_writing:
                begin_writing(written.fileno(), copied, some, _SYNC_FILE_RANGE_WRITE)
            copied += some


def copied_bytes(target: Path) -> int:
    """Return the number of bytes written to a file, without reserved space; 0 if it does not exist."""
    try:
        with open(target, "rb") as file:
            if hasattr(os, "SEEK_HOLE"):
                return os.lseek(file.fileno(), 0, os.SEEK_HOLE)
            return os.fstat(file.fileno()).st_size
    except OSError:
        return 0


def _copy_some(source: int, target: int, start: int) -> int:
    """Copy some bytes from one descriptor to another and return their number; 0 at the end."""
    if hasattr(os, "copy_file_range"):
        try:
            return os.copy_file_range(source, target, _AT_ONCE, start, start)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
    return os.pwrite(target, os.pread(source, _AT_ONCE, start), start)


@cache
def _begin_writing() -> Callable[[int, int, int, int], int] | None:
    """Return Linux's `sync_file_range`, which starts writing almost without waiting; None elsewhere.

    It is called only for speed and may fail: durability comes from the later `fsync`.
    """
    try:
        call = ctypes.CDLL(None).sync_file_range
    except (AttributeError, OSError, TypeError):
        return None
    call.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return call
