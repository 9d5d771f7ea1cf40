"""Copying a large file, which the disk begins to write meanwhile."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from anomaly_assets.linux import begin_writing

_AT_ONCE = 8 * 1024 * 1024

_CANNOT = (errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP)
"""What a system says that has no such call for these two files."""


def copy_file(source: Path, target: Path) -> None:
    """Copy a file, and let the disk write what was copied while the rest is copied.

    One after the other takes half as long again. Whoever gives the copy its name syncs it first.

    Args:
        source: Not written to meanwhile.
        target: Made, or written over.

    Raises:
        OSError: It cannot be written, for instance because the disk is full.
    """
    with open(source, "rb") as read, open(target, "wb") as written:
        size, copied = os.fstat(read.fileno()).st_size, 0
        if size and hasattr(os, "posix_fallocate"):
            # A quarter faster; and a full disk shows before anything was copied.
            os.posix_fallocate(written.fileno(), 0, size)
        while copied < size:
            some = _copy_some(read.fileno(), written.fileno(), copied)
            if not some:
                raise OSError(errno.EIO, "The file became shorter while it was copied", str(source))
            begin_writing(written.fileno(), copied, some)
            copied += some


def copied_bytes(target: Path) -> int:
    """How much of a file is written, and not only reserved; 0 where there is none."""
    try:
        with open(target, "rb") as file:
            if hasattr(os, "SEEK_HOLE"):
                return os.lseek(file.fileno(), 0, os.SEEK_HOLE)
            return os.fstat(file.fileno()).st_size
    except OSError:
        return 0


def _copy_some(source: int, target: int, start: int) -> int:
    """Copy some bytes from one descriptor to another; how many. None are left where it is 0."""
    if hasattr(os, "copy_file_range"):
        try:
            return os.copy_file_range(source, target, _AT_ONCE, start, start)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
    return os.pwrite(target, os.pread(source, _AT_ONCE, start), start)
