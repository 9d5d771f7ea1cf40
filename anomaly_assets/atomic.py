"""Replace a file or folder atomically: write beside it, sync, swap.

A writer makes a hidden folder beside its target, on the same file system:

    .NAME.<32 hexadecimal digits>.unfinished/
        lock        locked with flock while the writer is alive
        content     the file or folder that becomes NAME; DuckDB puts content.wal beside it
        superseded  the old folder, if the system cannot exchange two names in one step

The content is synced to the disk and renamed to the target, and the hidden folder is removed. The next
writer of the same target removes the folder of a killed writer. The system releases the lock of a
process that dies, so a folder whose lock can be taken belongs to no running process.

The lock is a separate file. DuckDB holds fcntl locks on the files that it has open; closing any other
descriptor of such a file releases them, and network file systems treat flock and fcntl locks as the
same.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.linux import exchange_names, sync_file_system
from anomaly_assets.lock_file import is_old, lock_file, may_remove, unlock_file

_SUFFIX = ".unfinished"
_LOCK, _CONTENT, _SUPERSEDED = "lock", "content", "superseded"

_LONGEST_NAME_BYTES = 200
"""Limit of an unhashed name: file systems allow 255 bytes, and a temporary name is 45 bytes longer."""

_RETRY_SECONDS = 0.1
_NOT_EMPTY = (errno.ENOTEMPTY, errno.EEXIST)


class TargetError(AnomalyAssetsError, OSError):
    """A file or folder cannot be written at this path; the message explains what to do."""


class TargetBusyError(AnomalyAssetsError, RuntimeError):
    """Another process is writing the same target."""


def resolved(target: str | Path) -> Path:
    """Resolve symbolic links, so that the link's target is replaced and the link stays.

    Raises:
        TargetError: A link leads into a missing folder, such as an unmounted share. A folder created
            there would hide the share, and readers of the share would keep the old data.
    """
    named, real = Path(target).absolute(), Path(os.path.realpath(target))
    for link in (named, *named.parents):
        if link.is_symlink() and not link.exists():
            folder = real.parent if link == named else Path(os.path.realpath(link))
            if not folder.is_dir() or real.is_symlink():
                raise TargetError(
                    f"{link} is a symbolic link to {os.path.realpath(link)}, which cannot be reached: "
                    f"mount or make the folder {folder}, or correct the link, then try again."
                )
    return real


def sync_tree(folder: Path) -> None:
    """Sync everything below a folder to the disk.

    One system call syncs the whole file system, if available: syncing tens of thousands of files one
    by one takes minutes.
    """
    if not sync_file_system(folder):
        for path in (folder, *folder.rglob("*")):
            sync(path)


def sync(path: Path) -> None:
    """Sync a file, or the names in a folder, to the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows has no such call; its file system journals names
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replaced_file(
    target: Path, *, stale: Iterable[Path] = (), named_after: Path | None = None
) -> Iterator[Path]:
    """Replace or create a file when the block ends without an error.

    Args:
        target: The file; the target of a symbolic link is replaced, and the link stays.
        stale: Files of the old file to delete, such as its write-ahead log.
        named_after: A file in the same folder, by default the target. The next writer of this file removes
            the leftovers of a killed writer of `target`, which may never be written again.

    Yields:
        A path for the new file; it does not exist yet.

    Raises:
        OSError: The file cannot be written. The target is unchanged, unless the sync of its folder failed.
    """
    target = resolved(target)
    with _beside(named_after or target) as content:
        yield content
        put_file(content, target, stale)


def put_file(content: Path, target: Path, stale: Iterable[Path] = ()) -> None:
    """Rename a complete file to `target`, durably; see `replaced_file`."""
    # Sync before the rename: a power cut must not leave the name with a file whose blocks are missing.
    sync(content)
    for path in stale:
        path.unlink(missing_ok=True)
    os.replace(content, target)
    sync(target.parent)


def put_new_file(content: Path, target: Path, stale: Iterable[Path] = ()) -> None:
    """Rename a complete file to `target`, durably, if no file has this name.

    Args:
        content: The complete file.
        target: Its new name.
        stale: Files of a deleted old target to delete, such as its write-ahead log.

    Raises:
        FileExistsError: The name was taken meanwhile; both files are unchanged.
    """
    sync(content)
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    for path in stale:
        path.unlink(missing_ok=True)
    try:
        os.link(content, target)  # a rename would replace a file created since the check
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        os.replace(content, target)
    else:
        content.unlink()
    sync(target.parent)


def write_file(target: Path, content: bytes) -> None:
    """Replace or create a file with this content; readers see the old content or the new one.

    This is for files that can be rebuilt, such as pictures: a power cut may lose the content. An
    `fsync` for each of 100 pictures takes more than a second; `sync_tree` syncs them together.

    Raises:
        OSError: The file cannot be written; the target is unchanged.
    """
    target = resolved(target)
    with _beside(target) as unfinished:
        unfinished.write_bytes(content)
        os.replace(unfinished, target)


@contextmanager
def replaced_folder(
    target: Path,
    *,
    keep_existing: bool = False,
    make_durable: Callable[[Path], None] = sync_tree,
) -> Iterator[Path]:
    """Replace or create a folder when the block ends without an error.

    On Linux readers see the old folder or the new one. Other systems need two renames; if the process
    is killed between them, the next writer renames the old folder back.

    Args:
        target: The folder, without symbolic links in its path (see `resolved`).
        keep_existing: Leave an existing folder that is not empty, because its content is the same.
        make_durable: Called with the new folder; `sync` suffices if its files are already on the disk.

    Yields:
        An empty folder.

    Raises:
        OSError: The folder cannot be written; the target is unchanged, unless the sync of its parent fails.
    """
    with _beside(target) as content:
        content.mkdir()
        yield content
        make_durable(content)
        _put_folder(content, target, keep_existing)
        sync(target.parent)


@contextmanager
def only_writer(target: Path, wait_seconds: float = 0.0) -> Iterator[None]:
    """Lock a target against other processes and threads that use this function.

    On a file system without locks this excludes no writer: each one replaces the whole target, and the
    last one wins.

    Args:
        target: A file or folder, without symbolic links in its path (see `resolved`).
        wait_seconds: Maximum time to wait for another writer.

    Raises:
        TargetBusyError: Another writer held the lock for longer than that.
    """
    path = target.with_name(f"{_prefix(target)}{_LOCK}")
    deadline = time.monotonic() + wait_seconds
    while (lock := lock_file(path)) is None:
        if time.monotonic() >= deadline:
            raise TargetBusyError(f"{target} is being written by another process. Try again later.")
        time.sleep(_RETRY_SECONDS)
    try:
        yield
    finally:
        unlock_file(lock, path)


def newest_unfinished(target: Path) -> Path | None:
    """Return the path that the latest writer of a target writes to; None if there is none."""
    found: list[tuple[int, Path]] = []
    for folder in _temporary_folders(target):
        with suppress(OSError):  # removed meanwhile
            found.append((folder.stat().st_mtime_ns, folder / _CONTENT))
    return max(found)[1] if found else None


def remove_leftovers(target: Path) -> None:
    """Remove the files of killed writers of a target, but not those of a running writer.

    Files of another user that may not be removed are left.
    """
    for folder in _temporary_folders(target):
        with suppress(OSError):
            lock = lock_file(folder / _LOCK, of_a_dead_writer=True)
            if lock is not None:
                _discard(folder, lock, target)
    with suppress(OSError):
        _remove_what_the_first_release_left(target)


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Yield a path in a temporary folder beside a target; the folder is removed at the end."""
    remove_leftovers(target)
    folder, lock = _temporary_folder(target)
    try:
        yield folder / _CONTENT
    finally:
        with suppress(OSError):
            _discard(folder, lock, target)


def _prefix(target: Path) -> str:
    return f".{_short_name(target)}."


def _short_name(target: Path) -> str:
    name = os.fsencode(target.name)
    return target.name if len(name) <= _LONGEST_NAME_BYTES else hashlib.sha256(name).hexdigest()


def _temporary_folder(target: Path) -> tuple[Path, int]:
    """Create a temporary folder of this target; return it with the descriptor of its lock."""
    while True:
        folder = target.with_name(f"{_prefix(target)}{uuid.uuid4().hex}{_SUFFIX}")
        folder.mkdir()
        try:
            lock = lock_file(folder / _LOCK)
        except FileNotFoundError:
            lock = None
        except BaseException:  # a full disk, for instance
            with suppress(OSError):
                folder.rmdir()
            raise
        if lock is not None:
            return folder, lock
        # Another writer took the new folder for a leftover before it was locked, and removes it: try
        # again.


def _temporary_folders(target: Path) -> list[Path]:
    pattern = re.compile(rf"{re.escape(_prefix(target))}[0-9a-f]{{32}}{re.escape(_SUFFIX)}")
    try:
        with os.scandir(target.parent) as entries:
            return [
                Path(entry.path)
                for entry in entries
                if pattern.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            ]
    except FileNotFoundError:
        return []


def _discard(folder: Path, lock: int, target: Path) -> None:
    """Remove a temporary folder whose lock is held, and release the lock."""
    try:
        _put_back(folder / _SUPERSEDED, target)
        for path in folder.iterdir():
            if path.name != _LOCK:
                _remove(path)
    finally:
        unlock_file(lock, folder / _LOCK)
    # Not rmtree: a writer that has just made this folder may have put a new lock into it.
    folder.rmdir()


def _put_back(superseded: Path, target: Path) -> None:
    """Rename a folder back whose writer was killed between two renames."""
    if superseded.is_dir() and not os.path.lexists(target):
        os.rename(superseded, target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_what_the_first_release_left(target: Path) -> None:
    """Remove the fixed temporary names of the first release.

    The first release locked the folder of an export, but not a file, which is judged by its age.
    """
    unfinished = target.with_name(f".{_short_name(target)}{_SUFFIX}")
    superseded = target.with_name(f".{_short_name(target)}.{_SUPERSEDED}")
    log = unfinished.with_name(f"{unfinished.name}.wal")
    if unfinished.is_symlink():
        return
    if unfinished.is_dir():
        descriptor = os.open(unfinished, os.O_RDONLY)
        try:
            if not may_remove(descriptor):
                return
            _remove(unfinished)
        finally:
            os.close(descriptor)
    elif unfinished.is_file() and is_old(unfinished.stat()):
        for path in (unfinished, log):
            _remove(path)
    _put_back(superseded, target)
    if superseded.is_dir():
        _remove(superseded)


def _put_folder(content: Path, target: Path, keep_existing: bool) -> None:
    superseded = content.with_name(_SUPERSEDED)
    while True:
        try:
            os.rename(content, target)  # also replaces an empty folder
            return
        except OSError as error:
            if error.errno not in _NOT_EMPTY:
                raise
        if keep_existing:
            return
        with suppress(FileNotFoundError):  # the old folder was removed meanwhile
            if exchange_names(content, target):
                return
            os.rename(target, superseded)
