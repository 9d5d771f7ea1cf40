"""Set up the environment of tests: all paths are in a temporary folder, all pictures are tiny."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.warehouse.file.warehouse import CATALOG
from anomaly_assets_tests.sampled import SAMPLED

IMAGE_SIZE = 32


@dataclass(frozen=True)
class Environment:
    """The environment variables of a test.

    Attributes:
        roots: Root by source dataset; it need not exist.
        warehouse: The working database.
        database: The published database.
    """

    roots: dict[str, Path]
    warehouse: Path
    database: Path

    @property
    def mvtec_ad(self) -> Path:
        return self.roots["mvtec_ad"]

    @property
    def dagm_2007(self) -> Path:
        return self.roots["dagm_2007"]

    def copy_roots(self, folder: Path) -> None:
        """Copy `<folder>/<source dataset>`, modification times included."""
        for name, root in self.roots.items():
            shutil.copytree(folder / name, root)

    def query(self, statement: str, *, database: Path | None = None) -> list[tuple[Any, ...]]:
        """Return rows of the published database, or of another one."""
        connection = duckdb.connect(str(database or self.database), read_only=True)
        try:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.execute(statement).fetchall()
        finally:
            connection.close()

    def rows(self, table: str, key: str) -> dict[Any, dict[str, Any]]:
        """Return all rows of a table of the published database, by their key."""
        [names] = self.query(f"SELECT list(column_name) FROM (DESCRIBE FROM {table})")
        found = [dict(zip(names[0], row, strict=True)) for row in self.query(f"FROM {table}")]
        by_key = {row[key]: row for row in found}
        assert len(by_key) == len(found)
        return by_key

    @contextmanager
    def open_warehouse(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the warehouse for writing, under the name that the graph uses."""
        connection = duckdb.connect(":memory:")
        try:
            connection.execute(f"ATTACH '{self.warehouse}' AS {CATALOG}")
            connection.execute(f"USE {CATALOG}.main")
            yield connection
        finally:
            connection.close()


def set_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, roots: Path | None = None
) -> Environment:
    """Set all settings to paths in a folder, and ignore the settings of the shell.

    Args:
        folder: Folder of the warehouse and of the published database.
        monkeypatch: Sets the variables.
        roots: Folder of the roots; `<folder>/roots` by default.
    """
    for name in [*os.environ]:
        if name.startswith("ANOMALY_") or name == "DAGSTER_HOME":
            monkeypatch.delenv(name)
    environment = Environment(
        roots={name: (roots or folder / "roots") / name for name in SAMPLED},
        warehouse=folder / "work" / "warehouse.duckdb",
        database=folder / "published" / "anomaly.duckdb",
    )
    for name, root in environment.roots.items():
        monkeypatch.setenv(SOURCE_DATASETS[name].root_variable, str(root))
    monkeypatch.setenv("ANOMALY_WAREHOUSE", str(environment.warehouse))
    monkeypatch.setenv("ANOMALY_DATABASE", str(environment.database))
    monkeypatch.setenv("ANOMALY_IMAGE_SIZE", str(IMAGE_SIZE))
    monkeypatch.setenv("ANOMALY_LOCK_WAIT_SECONDS", "60")
    return environment
