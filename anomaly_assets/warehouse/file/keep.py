"""Older published databases, beside the current one, for those who named a snapshot."""

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
    """Give the published database a second name, which stays when the next one takes its place.

    Args:
        target: The published database.
        snapshot_id: What it holds; None where that is not known, and nothing is kept.
    """
    if snapshot_id is None:
        return
    target = resolved(target)  # a second name of a link would stand for the next snapshot, too
    with replaced_file(kept_path(target, snapshot_id), named_after=target) as unfinished:
        try:
            os.link(target, unfinished)  # costs nothing
        except OSError:  # a file system without hard links
            shutil.copy2(target, unfinished)


def discard_older(target: Path, snapshot_id: str, most: int) -> None:
    """Remove all but the newest older snapshots, one that is current again, and what killed runs left.

    Args:
        target: The published database.
        snapshot_id: What it holds.
        most: How many older ones stay.
    """
    current = kept_path(target, snapshot_id)
    older = [path for path in kept_paths(target) if path != current]
    superseded = (path for path in older[most:] if _is_kept_snapshot(target, path))
    for path in [current, *superseded]:
        path.unlink(missing_ok=True)
    # Here too, because a run that finds its snapshot published already writes nothing.
    remove_leftovers(target)
    for path in _kept_by_the_first_release(target):
        remove_leftovers(path)


def _is_kept_snapshot(target: Path, path: Path) -> bool:
    """Return whether a file holds the snapshot that its name says: a person's backup may look like one.

    `anomaly.202611280530.duckdb` has as many digits as a snapshot id in a name.
    """
    held = newest_snapshot(path)
    return held is not None and kept_path(target, held.snapshot_id) == path


def _kept_by_the_first_release(target: Path) -> list[Path]:
    """Snapshots beside a target that a killed run of the first release was about to keep."""
    name = rf"\.({re.escape(target.stem)}\.[0-9a-f]{{{ID_DIGITS}}}{re.escape(target.suffix)})\.unfinished"
    found = (re.fullmatch(name, path.name) for path in target.parent.iterdir())
    return [target.with_name(match[1]) for match in found if match]
