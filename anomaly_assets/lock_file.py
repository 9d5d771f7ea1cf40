"""Files that are locked while a process lives, which shows whether what it was writing is a leftover."""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from pathlib import Path
from types import ModuleType

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_LONGEST_WRITE_SECONDS = 24 * 3600.0
"""Where no lock shows whether a writer is alive, what it wrote is removed when it is older than this."""

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF)
"""Errors of a file system without locks; the last one of NFS, for a file that may only be read."""


def lock_file(path: Path, *, of_a_dead_writer: bool = False) -> int | None:
    """Lock a file, made where it is missing, for as long as its descriptor is open.

    Args:
        path: The file.
        of_a_dead_writer: Whether it is a leftover, which has to be old where there are no locks.

    Returns:
        The descriptor; None while another process, or another descriptor of this one, holds the lock.

    Raises:
        FileNotFoundError: Its folder does not exist.
        PermissionError: No file may be made there.
    """
    while True:
        descriptor = _opened(path)
        locked = current = False
        try:
            locked = may_remove(descriptor) if of_a_dead_writer else _flock(descriptor) is not False
            # A lock on a file that its last holder has removed meanwhile excludes nobody.
            with suppress(FileNotFoundError):
                current = os.path.samestat(os.fstat(descriptor), os.stat(path))
            if not locked:
                return None
            if current:
                return descriptor
        finally:
            if not (locked and current):
                os.close(descriptor)


def unlock_file(descriptor: int, path: Path) -> None:
    """Give a lock back and remove its file, first the file: nobody may lock one that is about to go."""
    with suppress(OSError):  # Windows removes no file that is open
        os.unlink(path)
    os.close(descriptor)
    if os.name == "nt":
        with suppress(OSError):
            os.unlink(path)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError as error:
        try:
            return os.open(path, os.O_RDONLY)  # the file of another user
        except FileNotFoundError:
            raise error from None


def _flock(descriptor: int) -> bool | None:
    """Lock a file or folder: whether that went well; None where the system has no such lock."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


def may_remove(descriptor: int) -> bool:
    """Whether the writer of what is open here is dead, and nobody else is removing it."""
    locked = _flock(descriptor)
    return is_old(os.fstat(descriptor)) if locked is None else locked


def is_old(status: os.stat_result) -> bool:
    """Whether nothing was written to a file, and no name given to it, for a day."""
    return time.time() - max(status.st_mtime, status.st_ctime) > _LONGEST_WRITE_SECONDS
