"""The folder of an export: there as a whole, or not at all.

An export is written beside its place, in a hidden folder, and renamed when it is complete. Who is killed
leaves the hidden folder, which the next export into the same place takes over and empties.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anomaly_assets.export.errors import ExportError

MARKER = ".anomaly_assets_export.json"
"""What tells an export from any other folder; hidden, so that readers of folders pass it by."""

_MADE_BY = "anomaly_assets.export"
_LONGEST_NAME = 200

_libc = ctypes.CDLL(None, use_errno=True)
"""For two calls of Linux that Python does not have: `syncfs` and `renameat2`."""
_HERE, _RENAME_EXCHANGE = -100, 2


@contextmanager
def replaced(out: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A folder to write an export to, which becomes `out` when the block ends without an error.

    Args:
        out: A folder that does not exist, is empty, or holds an export.
        overwrite: An export may be replaced. Readers see the old one or the new one, whole.

    Yields:
        An empty folder on the same file system.

    Raises:
        ExportError: `out` is something else, names no folder, lies in another export, is being written by
            another export, or the disk is full. What was there is there still.
    """
    try:
        target = _placed(out)
        target.parent.mkdir(parents=True, exist_ok=True)
        with _hidden_folder(target) as (unfinished, superseded):
            _recover(target, superseded)
            _refuse_what_is_not_ours(target, overwrite)
            yield unfinished
            _refuse_what_is_not_ours(target, overwrite)
            _make_durable(unfinished)
            _swap(unfinished, target, superseded)
    except OSError as error:
        raise ExportError(f"{out} was not written: {_explained(error)}") from error


def _placed(out: str | Path) -> Path:
    """The folder that is meant, once it is clear that one is, and one that may be made."""
    if not os.fspath(out):
        raise ExportError(
            "The name of the folder is empty: name a new folder, such as export/bolt."
        )
    target = Path(os.path.realpath(out))
    if target == target.parent:
        raise ExportError(
            f"{target} is the root of the file system, which no export replaces: name a new folder in it."
        )
    for parent in target.parents:
        if described(parent) is not None:
            raise ExportError(
                f"{target} lies inside the export {parent}, whose readers would take its files for "
                "samples, and which --overwrite replaces as a whole: name a folder beside it."
            )
    return target


def describe(folder: Path, facts: dict[str, Any]) -> None:
    """Note in an export what it holds."""
    content = json.dumps({"made_by": _MADE_BY, **facts}, indent=2, ensure_ascii=False)
    (folder / MARKER).write_text(content + "\n", encoding="utf-8")


def described(folder: Path) -> dict[str, Any] | None:
    """What an export holds; None for any other folder."""
    try:
        facts = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return facts if isinstance(facts, dict) and facts.get("made_by") == _MADE_BY else None


@contextmanager
def _hidden_folder(target: Path) -> Iterator[tuple[Path, Path]]:
    """An empty folder beside `target`, held by this process, and a name for what is replaced."""
    name = target.name
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    unfinished = target.with_name(f".{name}.unfinished")
    superseded = target.with_name(f".{name}.superseded")
    lock = _lock(unfinished, target)
    try:
        _empty(unfinished)
        yield unfinished, superseded
    finally:
        for leftover in (unfinished, *([superseded] if target.exists() else [])):
            shutil.rmtree(leftover, ignore_errors=True)
        os.close(lock)


def _lock(folder: Path, target: Path) -> int:
    """Hold a folder as long as this process lives; the system lets go of it, however that ends."""
    while True:
        folder.mkdir(exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.path.samestat(os.fstat(descriptor), os.stat(folder))
        except BlockingIOError:
            os.close(descriptor)
            raise ExportError(
                f"Another export is writing {target}: wait for it, or name another folder."
            ) from None
        except FileNotFoundError:
            held = False
        if held:
            return descriptor
        os.close(descriptor)  # another export had it, and gave it its final name meanwhile


def _empty(folder: Path) -> None:
    for entry in list(os.scandir(folder)):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def _recover(target: Path, superseded: Path) -> None:
    """Finish what an export began that was killed between two renames."""
    if superseded.exists():
        if target.exists():
            shutil.rmtree(superseded)
        else:
            os.rename(superseded, target)


def _refuse_what_is_not_ours(target: Path, overwrite: bool) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    facts = described(target)
    if facts is None:
        raise ExportError(
            f"{target} is there already and is no export of this project, so it is not replaced: name a "
            "new folder."
        )
    if not overwrite:
        raise ExportError(
            f"{target} holds an export already ({facts.get('format')}, {facts.get('samples')} samples, "
            f"snapshot {facts.get('snapshot_id')}): name a new folder, or replace it with --overwrite "
            "(overwrite=True)."
        )


def _make_durable(folder: Path) -> None:
    """Bring everything to the disk, before the name of the folder says that it is there.

    In one call for the whole file system: asked file by file, tens of thousands of files take minutes.
    """
    flush = getattr(_libc, "syncfs", None)
    if flush is None:
        os.sync()
        return
    with _opened(folder) as descriptor:
        _check(flush(descriptor), folder)


def _swap(unfinished: Path, target: Path, superseded: Path) -> None:
    """Put the new folder in its place. What was there has the other name afterwards, or none."""
    if not target.exists() or not any(target.iterdir()):
        os.rename(unfinished, target)
    elif not _exchanged(unfinished, target):
        os.rename(target, superseded)
        os.rename(unfinished, target)
    with _opened(target.parent) as descriptor:
        os.fsync(descriptor)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where the system has no such step."""
    exchange = getattr(_libc, "renameat2", None)
    if exchange is None:
        return False
    failed = exchange(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _RENAME_EXCHANGE)
    if failed and ctypes.get_errno() in (errno.EINVAL, errno.ENOSYS):
        return False
    _check(failed, other)
    return True


def _check(failed: int, path: Path) -> None:
    if failed:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _explained(error: OSError) -> str:
    advice = {
        errno.ENOSPC: "Free some space, name a folder on another disk, or select fewer samples.",
        errno.EDQUOT: "Free some of your quota, name a folder on another disk, or select fewer samples.",
        errno.EACCES: "Name a folder that you may write to.",
        errno.EROFS: "Name a folder that you may write to.",
        errno.EBUSY: "It is a disk of its own, whose folder cannot be replaced: name a folder in it.",
    }
    reason = error.strerror or str(error)
    return f"{reason}. {advice.get(error.errno or 0, '')}".rstrip()
