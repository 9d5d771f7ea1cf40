"""Describe a full disk in one error message, whichever library reports it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

_NO_SPACE = ("No space left on device", "disk is full", "ENOSPC")
_QUOTA = "Disk quota exceeded"
_TOO_LARGE = ("File too large", "EFBIG")
_UNCLEAR = ("disk I/O error", "cannot write", "Could not write", "unable to open database file")
"""Messages of SQLite and DuckDB that may mean a full disk or another fault; the free space decides."""

_NEARLY_FULL_BYTES = 1024 * 1024
_REMEDY = "then run again: committed rows are kept."


def out_of_space(error: BaseException | str, paths: Iterable[str | os.PathLike[str]]) -> str | None:
    """Return an error message that names the full disk and the remedy; None if no full disk is the cause.

    Args:
        error: What a library raised, or its message.
        paths: Files and folders that were written; they need not exist.
    """
    text = " ".join(_messages(error))
    unclear = any(words in text for words in _UNCLEAR)
    folders = {_existing(Path(path)) for path in paths}
    if not text or not folders:
        return None
    free = {folder: shutil.disk_usage(folder).free for folder in folders}
    fullest = min(free, key=lambda folder: free[folder])
    if _QUOTA in text:
        return f"Your disk quota for {fullest} is used up. Free some of it, {_REMEDY}"
    if any(words in text for words in _NO_SPACE) or (
        unclear and free[fullest] < _NEARLY_FULL_BYTES
    ):
        total = shutil.disk_usage(fullest).total
        return (
            f"The disk of {fullest} is full: {free[fullest] / 1e6:,.1f} of {total / 1e6:,.1f} MB are free. "
            f"Free some space there, or use a folder on another disk, {_REMEDY}"
        )
    limit = _largest_file_bytes()
    if limit is not None and (unclear or any(words in text for words in _TOO_LARGE)):
        return (
            f"A file in {fullest} would become larger than this process may write: {limit / 1e6:,.1f} MB "
            f"(ulimit -f). Raise the limit, {_REMEDY}"
        )
    return None


def _messages(error: BaseException | str) -> Iterator[str]:
    """Yield the messages of an error and of its causes."""
    if isinstance(error, str):
        yield error
        return
    seen: BaseException | None = error
    while seen is not None:
        yield str(seen)
        seen = seen.__cause__ or seen.__context__


def _existing(path: Path) -> Path:
    """Return the path, or the nearest folder above it that exists."""
    path = path.absolute()
    return next(each for each in (path, *path.parents) if each.is_dir())


def _largest_file_bytes() -> int | None:
    """Return the limit of this process on the size of a file; None if there is none."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return None if limit == resource.RLIM_INFINITY else limit
