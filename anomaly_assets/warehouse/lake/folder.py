"""Determine the folder of a lake's files: an absolute path that no other lake uses.

DuckLake stores the folder as it was given. A relative path would mean another folder in a process with
another working directory. Two lakes in one folder would remove each other's files as orphans.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from anomaly_assets.errors import WarehouseError
from anomaly_assets.tables.sql_text import sql_literal
from anomaly_assets.warehouse.lake.connect import allow_store, is_relative

Query = Callable[..., list[tuple[Any, ...]]]
"""Function that runs a statement in the PostgreSQL of the catalogue."""

_FILES = "ducklake-*.parquet"
"""File name pattern of DuckLake; files exist as soon as a table has rows."""


def settled_folder(
    instance: duckdb.DuckDBPyConnection, query: Query, folder: str | None, name: str
) -> str | None:
    """Return the absolute folder to attach a lake with; the caller must hold the lock for creating it.

    If the catalogue has a relative folder, stored by an older release, it is replaced by the absolute
    path, provided that the lake's files are found there.

    Args:
        instance: A DuckDB instance prepared by `prepare_for_lakes`.
        query: Function that runs a statement in the catalogue.
        folder: Folder from the settings; None for an existing lake.
        name: Name of the lake in messages.

    Raises:
        WarehouseError: The lake is new, and its folder belongs to another lake or cannot be listed.
    """
    if folder is not None and is_relative(folder):
        folder = str(Path(folder).absolute())
    if query("SELECT to_regclass('public.ducklake_metadata')") != [(None,)]:
        _make_absolute(query)
    elif folder is not None:
        _refuse_folder_of_another(instance, folder, name)
        if "://" not in folder:
            _make_folder(Path(folder), name)
    return folder


def _make_folder(folder: Path, name: str) -> None:
    """Create the folder before the lake, because the lake would store an unwritable folder forever."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise WarehouseError(
            f"{name} was not made: its folder {folder} cannot be written to ({error.strerror}). Name "
            "another one in ANOMALY_LAKE_DATA, or fix that."
        ) from None


def _make_absolute(query: Query) -> None:
    where = "key = 'data_path' AND scope IS NULL"
    rows = query(f"SELECT value FROM ducklake_metadata WHERE {where}")  # noqa: S608
    if not rows or not is_relative(rows[0][0]):
        return
    found = Path(rows[0][0]).absolute()
    known = query("SELECT path FROM ducklake_data_file ORDER BY data_file_id DESC LIMIT 1")
    # The folder is the right one only if it has the lake's files, not just the same name.
    if all(any(found.rglob(Path(path).name)) for (path,) in known):
        query(f"UPDATE ducklake_metadata SET value = %s WHERE {where} RETURNING key", f"{found}/")  # noqa: S608


def _refuse_folder_of_another(instance: duckdb.DuckDBPyConnection, folder: str, name: str) -> None:
    taken = _store_with_files if "://" in folder else _folder_with_files
    if other := taken(instance, folder):
        raise WarehouseError(
            f"{name} is new, and {other} holds the files of another lake: the two would remove each "
            "other's files. Set ANOMALY_LAKE_DATA to another folder, or remove the files if "
            "their lake no longer exists."
        )


def _folder_with_files(_: duckdb.DuckDBPyConnection, folder: str) -> str | None:
    if any(Path(folder).resolve().rglob(_FILES)):
        return folder
    for parent in Path(folder).resolve().parents:  # a lake also removes files in sub-folders
        if any(parent.glob(f"main/*/{_FILES}")):
            return str(parent)
    return None


def _store_with_files(instance: duckdb.DuckDBPyConnection, folder: str) -> str | None:
    allow_store(instance, "new", folder)
    pattern = sql_literal(f"{folder.rstrip('/')}/**/{_FILES}")
    try:
        found = instance.execute(f"SELECT 1 FROM glob({pattern}) LIMIT 1").fetchall()  # noqa: S608
    except duckdb.Error as error:
        raise WarehouseError(f"{folder} cannot be listed: {str(error).splitlines()[0]}") from None
    return folder if found else None
