"""Lock and unlock files; a lock ends with its process, so an unlocked file is a leftover."""

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
"""Age above which unfinished files are removed, if the file system has no locks to test."""

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF)
"""Error numbers of a file system without locks; the last one is NFS's for a read-only file."""


def lock_file(path: Path, *, of_a_dead_writer: bool = False) -> int | None:
    """Create a file if necessary, and lock it while its descriptor is open.

    Args:
        path: The file.
        of_a_dead_writer: Lock only a leftover; without file locks, it must be older than a day.

    Returns:
        The descriptor; None if another process, or another descriptor of this one, holds the lock.

    Raises:
        FileNotFoundError: Its folder does not exist.
        PermissionError: The file may not be created.
    """
    while True:
        descriptor = _opened(path)
        locked = current = False
        try:
            locked = may_remove(descriptor) if of_a_dead_writer else _flock(descriptor) is not False
            # A lock on a file that its last holder has deleted excludes no other process: try again.
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
    """Delete a lock file, and then release its lock, so that no process locks a deleted file."""
    with suppress(OSError):  # Windows cannot delete an open file
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
    """Lock a file or folder; return False if it is locked, and None if the system has no such lock."""
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
    """Return whether the writer of an open file is dead and no other process is removing the file."""
    locked = _flock(descriptor)
    return is_old(os.fstat(descriptor)) if locked is None else locked


def is_old(status: os.stat_result) -> bool:
    """Return whether a file was neither written to nor renamed for a day."""
    return time.time() - max(status.st_mtime, status.st_ctime) > _LONGEST_WRITE_SECONDS
