"""Where the files of a lake are: a whole path, the same for every process, and nobody else's.

DuckLake stores the folder as it was given. One that is relative would be another folder for every process
that is started elsewhere, and two lakes in one folder would remove each other's files as orphans.
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
"""Runs a statement in the PostgreSQL of the catalogue."""

_FILES = "ducklake-*.parquet"
"""How DuckLake calls its files; it makes some as soon as a table has rows."""


def settled_folder(
    instance: duckdb.DuckDBPyConnection, query: Query, folder: str | None, name: str
) -> str | None:
    """Return the folder to attach a lake with, as a whole path; the caller lets nobody else make the lake.

    A relative folder in the catalogue, as an older release has stored it, is replaced by its whole path,
    where the files of the lake are found from here.

    Args:
        instance: A DuckDB that `prepare_for_lakes` has seen.
        query: Runs a statement in the catalogue.
        folder: What the settings say; None for a lake that exists.
        name: What messages call the lake.

    Raises:
        WarehouseError: The lake is new, and its folder belongs to another one or cannot be listed.
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
    """Make it before the lake, which would remember for ever a folder that cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise WarehouseError(
            f"{name} was not made: its folder {folder} cannot be written to ({error.strerror}). Name "
            "another one in ANOMALY_LAKE_DATA, or mend that."
        ) from None


def _make_absolute(query: Query) -> None:
    where = "key = 'data_path' AND scope IS NULL"
    rows = query(f"SELECT value FROM ducklake_metadata WHERE {where}")  # noqa: S608
    if not rows or not is_relative(rows[0][0]):
        return
    found = Path(rows[0][0]).absolute()
    known = query("SELECT path FROM ducklake_data_file ORDER BY data_file_id DESC LIMIT 1")
    # A folder of the same name somewhere else is not it.
    if all(any(found.rglob(Path(path).name)) for (path,) in known):
        query(f"UPDATE ducklake_metadata SET value = %s WHERE {where} RETURNING key", f"{found}/")  # noqa: S608


def _refuse_folder_of_another(instance: duckdb.DuckDBPyConnection, folder: str, name: str) -> None:
    taken = _store_with_files if "://" in folder else _folder_with_files
    if other := taken(instance, folder):
        raise WarehouseError(
            f"{name} is new, and {other} holds the files of another lake: the two would remove each "
            "other's files. Give this one a folder of its own in ANOMALY_LAKE_DATA, or remove the files if "
            "their lake is gone."
        )


def _folder_with_files(_: duckdb.DuckDBPyConnection, folder: str) -> str | None:
    if any(Path(folder).resolve().rglob(_FILES)):
        return folder
    for parent in Path(folder).resolve().parents:  # a lake removes what is below its folder, too
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
