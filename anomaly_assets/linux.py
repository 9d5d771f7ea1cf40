"""Linux system calls that Python lacks; each function returns whether the system has the call."""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache
from pathlib import Path
from typing import Any

_NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
_HERE, _RENAME_EXCHANGE = -100, 2


def sync_file_system(folder: Path) -> bool:
    """Sync the whole file system of a folder to the disk; False if the system has no such call."""
    flush = getattr(_libc(), "syncfs", None)
    if flush is None:
        return False
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _check(flush(descriptor), folder)
    finally:
        os.close(descriptor)
    return True


def exchange_names(one: Path, other: Path) -> bool:
    """Exchange two names atomically; False if the system cannot."""
    exchange = getattr(_libc(), "renameat2", None)
    if exchange is None:
        return False
    failed = exchange(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _RENAME_EXCHANGE)
    if failed and ctypes.get_errno() in _NO_EXCHANGE:
        return False
    _check(failed, other)
    return True


@cache
def _libc() -> Any:
    """Load the C library; None if there is none to load."""
    try:
        return ctypes.CDLL(None, use_errno=True)
    except (OSError, TypeError):  # Windows
        return None


def _check(failed: int, path: Path) -> None:
    if failed:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
