"""Names that a database file may have."""

from __future__ import annotations

from pathlib import Path

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.errors import WarehouseError


def refuse_ambiguous_name(path: Path) -> None:
    """Refuse a file that is called like one of the schemas in it: DuckDB names databases after files.

    Raises:
        WarehouseError: It is.
    """
    name = catalog_name(path)
    if name in SOURCE_DATASETS:
        raise WarehouseError(
            f"{path}: call the file something else, because it holds a schema named {name}, and "
            "DuckDB could not tell the file from the schema."
        )


def catalog_name(path: Path) -> str:
    """The name that DuckDB gives to the database in a file, in lower case."""
    return path.name.split(".")[0].lower()
