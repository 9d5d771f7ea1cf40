"""Test that a copy has the split assignments of its source."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from anomaly_assets.splitting.plan import Plan
from anomaly_assets.splitting.update import update
from anomaly_assets.tables.ddl import ensure_tables
from anomaly_assets.warehouse.copying.copy import copy_database
from anomaly_assets_tests.warehouse.project import SPEC, Project

FOLDS = "SELECT assignment, image_id, fold FROM anomaly.splits ORDER BY ALL"


@pytest.mark.slow
def test_a_copy_has_the_folds_of_its_source(project: Project, tmp_path: Path) -> None:
    with project.warehouse.connect() as connection:
        ensure_tables(connection)
        update(connection, tmp_path, "v1", Plan(val=0.4))
    published, copied = tmp_path / "published.duckdb", tmp_path / "copied.duckdb"
    project.warehouse.publish(published, SPEC)
    copy_database(str(published), str(copied))
    found = []
    for path in (published, copied):
        with duckdb.connect(str(path), read_only=True) as connection:
            found.append(connection.execute(FOLDS).fetchall())
    assert found[0] == found[1]
    assert len(found[0]) == 9
