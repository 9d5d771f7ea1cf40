"""The folder of an export: there as a whole, or not at all; and what tells it from any other folder."""

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
"""What tells an export from any other folder; hidden, so that readers of folders pass it by."""

_MADE_BY = "anomaly_assets.export"


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
        with only_writer(target), replaced_folder(target) as unfinished:
            _refuse_what_is_not_ours(target, overwrite)
            yield unfinished
            _refuse_what_is_not_ours(target, overwrite)
    except TargetBusyError:
        raise ExportError(
            f"Another export is writing {target}: wait for it, or name another folder."
        ) from None
    except TargetError as error:
        raise ExportError(str(error)) from None
    except OSError as error:
        raise ExportError(f"{out} was not written: {_explained(error)}") from error


def _placed(out: str | Path) -> Path:
    """The folder that is meant, once it is clear that one is, and one that may be made."""
    if not os.fspath(out):
        raise ExportError(
            "The name of the folder is empty: name a new folder, such as export/bolt."
        )
    target = resolved(out)
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
