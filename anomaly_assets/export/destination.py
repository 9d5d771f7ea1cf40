"""Replace the folder of an export atomically; a marker file keeps other folders from being replaced."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anomaly_assets.atomic import (
    TargetBusyError,
    TargetError,
    only_writer,
    replaced_folder,
    resolved,
)
from anomaly_assets.export.errors import ExportError

MARKER = ".anomaly_assets_export.json"
"""File that marks a folder as an export; hidden, so that readers of folders ignore it."""

_MADE_BY = "anomaly_assets.export"


@contextmanager
def replaced(out: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a folder to write an export to; it becomes `out` when the block ends without an error.

    Args:
        out: A folder that does not exist, is empty, or holds an export.
        overwrite: Replace an existing export. Readers see all of the old one or all of the new one.

    Yields:
        An empty folder on the same file system.

    Raises:
        ExportError: `out` is something else, names no folder, is inside another export, is being written by
            another export, or the disk is full. `out` is unchanged.
    """
    try:
        target = _placed(out)
        target.parent.mkdir(parents=True, exist_ok=True)
        with only_writer(target), replaced_folder(target) as unfinished:
            _refuse_what_is_not_ours(target, overwrite)
            yield unfinished
            _refuse_what_is_not_ours(target, overwrite)
    except TargetBusyError:
        raise ExportError(
            f"Another export is writing {target}. Wait for it, or name another folder."
        ) from None
    except TargetError as error:
        raise ExportError(str(error)) from None
    except OSError as error:
        raise ExportError(f"{out} was not written: {_explained(error)}") from error


def _placed(out: str | Path) -> Path:
    """Return the absolute path of `out`, and refuse a path that no export may replace."""
    if not os.fspath(out):
        raise ExportError(
            "The name of the folder is empty. Name a new folder, such as export/bolt."
        )
    target = resolved(out)
    if target == target.parent:
        raise ExportError(
            f"{target} is the root of the file system, which no export replaces. Name a new folder in it."
        )
    for parent in target.parents:
        if described(parent) is not None:
            raise ExportError(
                f"{target} is inside the export {parent}. Readers of that export would take the files for "
                "samples, and --overwrite would delete them. Name a folder beside it."
            )
    return target


def mark(folder: Path, facts: dict[str, Any]) -> None:
    """Write the marker, which holds a description of the export."""
    content = json.dumps({"made_by": _MADE_BY, **facts}, indent=2, ensure_ascii=False)
    (folder / MARKER).write_text(content + "\n", encoding="utf-8")


def described(folder: Path) -> dict[str, Any] | None:
    """Return the description of an export; None for any other folder."""
    try:
        facts = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return facts if isinstance(facts, dict) and facts.get("made_by") == _MADE_BY else None


def _refuse_what_is_not_ours(target: Path, overwrite: bool) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    facts = described(target)
    if facts is None:
        raise ExportError(
            f"{target} exists and is not an export of this project, so it is not replaced. Name a "
            "new folder."
        )
    if not overwrite:
        raise ExportError(
            f"{target} already contains an export ({facts.get('format')}, {facts.get('samples')} samples, "
            f"snapshot {facts.get('snapshot_id')}). Name a new folder, or replace it with --overwrite "
            "(overwrite=True)."
        )


def _explained(error: OSError) -> str:
    advice = {
        errno.ENOSPC: "Free some space, name a folder on another disk, or select fewer samples.",
        errno.EDQUOT: "Free some of your quota, name a folder on another disk, or select fewer samples.",
        errno.EACCES: "Name a folder that you may write to.",
        errno.EROFS: "Name a folder that you may write to.",
        errno.EBUSY: "It is a mount point, which cannot be replaced. Name a folder in it.",
    }
    reason = error.strerror or str(error)
    return f"{reason}. {advice.get(error.errno or 0, '')}".rstrip()
