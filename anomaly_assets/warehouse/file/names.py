"""Check the name of a database file."""

from __future__ import annotations

from pathlib import Path

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.errors import WarehouseError


def refuse_question_mark(path: Path) -> None:
    """Refuse to write to a path with a question mark: DuckDB writes the log of such a file to another name.

    Raises:
        WarehouseError: The path has a question mark; the message hides the text after it, maybe a token.
    """
    before, mark, _ = str(path).partition("?")
    if mark:
        raise WarehouseError(
            f"{before}?…: DuckDB cannot write to a path with a question mark. Use another name or folder."
        )


def refuse_ambiguous_name(path: Path) -> None:
    """Refuse a file name that equals a schema in it: DuckDB names databases after their files.

    Raises:
        WarehouseError: The name equals that of a schema.
    """
    name = catalog_name(path)
    if name in SOURCE_DATASETS:
        raise WarehouseError(
            f"{path}: choose another file name. The file holds a schema named {name}, and DuckDB cannot "
            "distinguish a database and a schema of the same name."
        )


def catalog_name(path: Path) -> str:
    """Return the name that DuckDB gives to the database in a file, in lower case."""
    return path.name.split(".")[0].lower()
