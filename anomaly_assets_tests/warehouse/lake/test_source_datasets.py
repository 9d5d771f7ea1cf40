"""The source datasets of a lake; samples are lost only with consent."""

from __future__ import annotations

import pytest

from anomaly_assets.errors import WarehouseError
from anomaly_assets.warehouse.lake.connect import attach_lake, start_for_lakes
from anomaly_assets.warehouse.lake.publish import publish_version
from anomaly_assets.warehouse.provenance import SnapshotRow, note_snapshot, time_of_publication
from anomaly_assets.warehouse.publication import PublishRefusedError
from anomaly_assets.warehouse.removal import forget, remove_samples
from anomaly_assets_tests.warehouse.lake.lakes import Lake
from anomaly_assets_tests.warehouse.project import SPEC

COUNTS = "SELECT source_dataset, count(*) FROM samples GROUP BY ALL ORDER BY ALL"


def test_a_dataset_is_forgotten_and_published_without_it(copied: Lake) -> None:
    assert copied.rows(COUNTS) == [("dagm_2007", 3), ("mvtec_ad", 6)]
    assert forget(copied.warehouse(), "dagm_2007") == 3
    assert publish_version(copied.warehouse(), SPEC).samples == 6
    assert copied.rows(COUNTS) == [("mvtec_ad", 6)]


def test_samples_of_the_repository_are_removed(copied: Lake) -> None:
    with copied.warehouse().connect() as connection:
        connection.execute("UPDATE source_datasets SET from_samples = source_dataset = 'mvtec_ad'")
    assert remove_samples(copied.warehouse()) == {"mvtec_ad": 6}
    assert copied.rows(COUNTS) == [("dagm_2007", 3)]


def test_losing_samples_needs_consent(copied: Lake) -> None:
    with copied.warehouse().connect() as connection:
        connection.execute("DELETE FROM mvtec_ad.images WHERE category = 'carpet'")
        connection.execute("DELETE FROM image_tensors WHERE image_id LIKE 'mvtec_ad/carpet/%'")
    with pytest.raises(PublishRefusedError, match="mvtec_ad would have 4 of 6"):
        publish_version(copied.warehouse(), SPEC)
    assert publish_version(copied.warehouse(), SPEC, allow_shrink=True).samples == 7
    assert publish_version(copied.warehouse(), SPEC).written is False


def test_a_publication_that_a_kill_cut_in_two_is_not_listed(copied: Lake) -> None:
    with copied.warehouse().connect() as connection:
        row = SnapshotRow("never published", None, "", {}, time_of_publication(connection))
        note_snapshot(connection, row)
        connection.execute("UPDATE image_tensors SET run_id = 'another'")
    published = publish_version(copied.warehouse(), SPEC)
    listed = [row[0] for row in copied.rows("SELECT snapshot_id FROM snapshots")]
    assert "never published" not in listed
    assert published.snapshot_id in listed


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
