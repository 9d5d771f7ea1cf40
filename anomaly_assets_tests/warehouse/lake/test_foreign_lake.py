"""Test publications that a kill interrupted, and lakes of other projects."""

from __future__ import annotations

import pytest

from anomaly_assets.errors import WarehouseError
from anomaly_assets.tables.registry import TABLES
from anomaly_assets.warehouse.lake.connect import attach_lake, start_for_lakes
from anomaly_assets.warehouse.provenance import SnapshotRow, note_snapshot, time_of_publication
from anomaly_assets_tests.warehouse.lake.lakes import Lake


def test_a_publication_that_a_kill_cut_in_two_is_not_listed(copied: Lake) -> None:
    with copied.warehouse().connect() as connection:
        counts = dict.fromkeys(TABLES, 0)
        row = SnapshotRow("never published", None, "", counts, time_of_publication(connection))
        note_snapshot(connection, row)
        connection.execute("UPDATE image_tensors SET run_id = 'another'")
    made = copied.publish()
    listed = [row[0] for row in copied.rows("SELECT snapshot_id FROM snapshots")]
    assert made.snapshot_id in listed
    assert "never published" not in listed


def test_a_lake_of_something_else_is_left_as_it_is(lake: Lake) -> None:
    with start_for_lakes() as connection:
        attach_lake(connection, lake.parsed, "theirs", folder=lake.folder)
        connection.execute("CREATE TABLE theirs.main.customers AS SELECT 1 AS id")
    before = lake.versions()
    with (
        pytest.raises(WarehouseError, match=r"with other tables \(customers\)"),
        lake.warehouse().connect(),
    ):
        pass
    assert lake.versions() == before
    assert lake.rows("FROM customers") == [(1,)]
