"""Older published databases, beside the current one, for those who named a snapshot."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from anomaly_assets.warehouse.publishing.snapshots import kept_path, kept_paths


def keep(target: Path, snapshot_id: str | None) -> None:
    """Give the published database a second name, which stays when the next one takes its place.

    Args:
        target: The published database.
        snapshot_id: What it holds; None where that is not known, and nothing is kept.
    """
    if snapshot_id is None:
        return
    kept = kept_path(target, snapshot_id)
    unfinished = kept.with_name(f".{kept.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        os.link(target, unfinished)  # costs nothing
    except OSError:  # a file system without hard links
        shutil.copy2(target, unfinished)
    os.replace(unfinished, kept)


def discard_older(target: Path, snapshot_id: str, most: int) -> None:
    """Remove all but the newest older snapshots, and one that is current again.

    Args:
        target: The published database.
        snapshot_id: What it holds.
        most: How many older ones stay.
    """
    current = kept_path(target, snapshot_id)
    older = [path for path in kept_paths(target) if path != current]
    for path in [current, *older[most:]]:
        path.unlink(missing_ok=True)
