"""Load DuckDB's extensions from installed packages; nothing is downloaded.

The packages of our extras contain DuckDB's own signed binaries, each for one version of DuckDB.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import duckdb

from anomaly_assets.errors import WarehouseError, install_extra
from anomaly_assets.tables.sql_text import sql_literal


def load_extensions(connection: duckdb.DuckDBPyConnection, *names: str) -> None:
    """Load extensions into a DuckDB instance that has not loaded them yet.

    Raises:
        WarehouseError: Their packages are not installed, or are for another version of DuckDB.
    """
    for name in names:
        binary = _binary(name)
        try:
            connection.execute(f"LOAD {sql_literal(str(binary))}")
        except duckdb.Error as error:
            raise WarehouseError(
                f"DuckDB {duckdb.__version__} cannot load its extension {name}: "
                f"{str(error).splitlines()[0]}"
            ) from error


def _binary(name: str) -> Path:
    found = importlib.util.find_spec(f"duckdb_extension_{name}")
    if found is None or found.origin is None:
        raise WarehouseError(f"DuckDB's extension {name} is not installed: {_install(name)}.")
    folder = Path(found.origin).with_name("extensions")
    binary = folder / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
    if not binary.is_file():
        versions = ", ".join(sorted(each.name.removeprefix("v") for each in folder.iterdir()))
        raise WarehouseError(
            f"The installed extension {name} is for DuckDB {versions}, and DuckDB {duckdb.__version__} "
            f"is installed. To install matching versions: {_install(name)}."
        )
    return binary


def _install(name: str) -> str:
    return install_extra("motherduck" if name == "motherduck" else "lake")
