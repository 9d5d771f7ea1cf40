"""Copy a large file while the disk already writes the copied part."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from anomaly_assets.linux import begin_writing

_AT_ONCE = 8 * 1024 * 1024

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
        while copied < size:
            some = _copy_some(read.fileno(), written.fileno(), copied)
            if not some:
                raise OSError(errno.EIO, "The file became shorter while it was copied", str(source))
            begin_writing(written.fileno(), copied, some)
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
    """Copy bytes from one descriptor to another and return their number; 0 at the end."""
    if hasattr(os, "copy_file_range"):
        try:
            return os.copy_file_range(source, target, _AT_ONCE, start, start)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
    return os.pwrite(target, os.pread(source, _AT_ONCE, start), start)
