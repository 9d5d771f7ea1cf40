"""Keep older published databases beside the current one, so that readers can open them by id."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection
from pathlib import Path

import duckdb

from anomaly_assets.atomic import remove_leftovers, replaced_file, resolved
from anomaly_assets.tables.identity import read_owners
from anomaly_assets.warehouse.file.snapshots import (
    ID_DIGITS,
    Snapshot,
    attached,
    kept_path,
    kept_paths,
    newest_noted,
)


def keep(target: Path, snapshot_id: str | None) -> None:
    """Create a hard link to the published database (or a copy), which stays when the database is replaced.

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
        except OSError:  # the file system has no hard links
            shutil.copy2(target, unfinished)


def discard_older(
    target: Path, snapshot_id: str, most: int, identity: str, known: Collection[str]
) -> None:
    """Remove surplus older snapshots, the hard link to the current one, and files of killed runs.

    Only snapshots of this warehouse or of a co-owner of the target are counted and removed, the oldest
    publication first. Other files with similar names stay, such as backups and snapshots of a warehouse
    that published to this name before.

    Args:
        target: The published database.
        snapshot_id: Snapshot in the database.
        most: Number of older snapshots to keep.
        identity: Identity of this warehouse.
        known: Ids of the snapshots that this warehouse records.
    """
    current = kept_path(target, snapshot_id)
    current.unlink(missing_ok=True)
    older = [path for path in kept_paths(target) if path != current]
    if len(older) > most:
        own = [(_own_snapshot(target, path, identity, known), path) for path in older]
        kept = sorted((each.published_at, path) for each, path in own if each is not None)
        for _, path in kept[: max(0, len(kept) - most)]:
            path.unlink(missing_ok=True)
    # Also done here, because a run whose snapshot is already published writes nothing.
    remove_leftovers(target)
    for path in _kept_by_the_first_release(target):
        remove_leftovers(path)


def _own_snapshot(
    target: Path, path: Path, identity: str, known: Collection[str]
) -> Snapshot | None:
    """Return the snapshot in a file if the file was kept here by an owner of the target.

    A backup may have a similar name: `anomaly.202611280530.duckdb` has as many digits as a snapshot id.
    """
    try:
        with attached(path) as connection:
            held, owners = newest_noted(connection, path), read_owners(connection)
    except duckdb.Error:
        return None
    if held is None or kept_path(target, held.snapshot_id) != path:
        return None
    return held if identity in (owners or ()) or held.snapshot_id in known else None


def _kept_by_the_first_release(target: Path) -> list[Path]:
    """Return snapshots that a killed run of the first release began to keep beside a target."""
    name = rf"\.({re.escape(target.stem)}\.[0-9a-f]{{{ID_DIGITS}}}{re.escape(target.suffix)})\.unfinished"
    found = (re.fullmatch(name, path.name) for path in target.parent.iterdir())
    return [target.with_name(match[1]) for match in found if match]
