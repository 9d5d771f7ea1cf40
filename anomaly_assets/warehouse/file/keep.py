"""Older published databases, kept beside the current one so that readers can open them by id."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from anomaly_assets.atomic import remove_leftovers, replaced_file, resolved
from anomaly_assets.warehouse.file.snapshots import (
    ID_DIGITS,
    kept_path,
    kept_paths,
    newest_snapshot,
)


def keep(target: Path, snapshot_id: str | None) -> None:
    """Create a second name for the published database; it stays when the database is replaced.

    Args:
        target: The published database.
        snapshot_id: Snapshot in the database; None if unknown, and nothing is kept.
    """
    if snapshot_id is None:
        return
    target = resolved(target)  # a hard link to a symbolic link would follow it to the next snapshot
    with replaced_file(kept_path(target, snapshot_id), named_after=target) as unfinished:
        try:
            os.link(target, unfinished)  # needs no space
        except OSError:  # a file system without hard links
            shutil.copy2(target, unfinished)


def discard_older(target: Path, snapshot_id: str, most: int) -> None:
    """Remove surplus older snapshots, the second name of the current one, and files of killed runs.

    Args:
        target: The published database.
        snapshot_id: Snapshot in the database.
        most: Number of older ones to keep.
    """
    current = kept_path(target, snapshot_id)
    older = [path for path in kept_paths(target) if path != current]
    superseded = (path for path in older[most:] if _is_kept_snapshot(target, path))
    for path in [current, *superseded]:
        path.unlink(missing_ok=True)
    # Also done here, because a run whose snapshot is already published writes nothing.
    remove_leftovers(target)
    for path in _kept_by_the_first_release(target):
        remove_leftovers(path)


def _is_kept_snapshot(target: Path, path: Path) -> bool:
    """Return whether a file holds the snapshot that its name gives; a backup may have a similar name.

    `anomaly.202611280530.duckdb` has as many digits as a snapshot id in a file name.
    """
    held = newest_snapshot(path)
    return held is not None and kept_path(target, held.snapshot_id) == path


def _kept_by_the_first_release(target: Path) -> list[Path]:
    """Return snapshots that a killed run of the first release began to keep beside a target."""
    name = rf"\.({re.escape(target.stem)}\.[0-9a-f]{{{ID_DIGITS}}}{re.escape(target.suffix)})\.unfinished"
    found = (re.fullmatch(name, path.name) for path in target.parent.iterdir())
    return [target.with_name(match[1]) for match in found if match]
