"""Test that samples of a lake equal those of the file it was copied from."""

from __future__ import annotations

import pickle
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomaly_assets.cli.app import main
from anomaly_assets.reader import open_samples
from anomaly_assets.reader.database import DatabaseError
from anomaly_assets.tables.ddl import HISTORY_VIEWS, refresh
from anomaly_assets.tables.history import StepEvent, note_step_events
from anomaly_assets.warehouse.lake.connect import PUBLISHED_VERSIONS
from anomaly_assets_tests.warehouse.lake.lakes import Lake
from anomaly_assets_tests.warehouse.lake.postgres import PASSWORD
from anomaly_assets_tests.warehouse.project import SPEC, Project


def test_batches_random_access_and_filters_give_what_the_file_gives(
    source: Path, copied: Lake
) -> None:
    every: tuple[dict[str, Any], ...] = ({}, {"source_dataset": "mvtec_ad", "label": "anomalous"})
    for filters in every:
        with (
            closing(open_samples(source, **filters)) as file,
            closing(open_samples(copied.location, **filters)) as lake,
        ):
            assert lake.snapshot_id == file.snapshot_id
            assert lake.table.to_pylist() == file.table.to_pylist()
            for one, other in zip(lake.batches(2), file.batches(2), strict=True):
                assert one.image_ids == other.image_ids
                assert np.array_equal(one.images, other.images)
                assert np.array_equal(one.masks, other.masks)
            ids = [*reversed(file.table["image_id"].to_pylist())]
            assert np.array_equal(lake.take(ids).images, file.take(ids).images)


def test_after_the_move_to_a_lake_readers_get_the_lake_although_the_old_file_is_still_named(
    source: Path, copied: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = copied.warehouse()
    with warehouse.connect() as connection:
        connection.execute("UPDATE image_tensors SET run_id = 'second'")
    published = warehouse.publish(source, SPEC)
    monkeypatch.setenv("ANOMALY_WAREHOUSE", copied.location)
    monkeypatch.setenv("ANOMALY_DATABASE", str(source))
    with closing(open_samples()) as samples, closing(open_samples(source)) as old:
        assert samples.snapshot_id == published.snapshot_id != old.snapshot_id


def test_a_snapshot_is_opened_by_its_id_and_again_in_another_process(copied: Lake) -> None:
    [(snapshot, _)] = copied.publications()
    with closing(open_samples(copied.location, snapshot=snapshot[:12])) as samples:
        again = pickle.loads(pickle.dumps(samples))
        with closing(again):
            assert np.array_equal(again[3].image, samples[3].image)
    with pytest.raises(LookupError, match="has no snapshot '0123'. Published: "):
        open_samples(copied.location, snapshot="0123")


def test_a_lake_that_cannot_be_opened_is_an_error_of_the_reader_without_its_password(
    copied: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "not-it-at-all")
    with pytest.raises(DatabaseError, match="password authentication failed") as raised:
        open_samples(copied.location)
    assert "not-it-at-all" not in str(raised.value)


def test_a_snapshot_is_the_one_that_was_published_whatever_the_clocks_of_two_machines_say(
    copied: Lake, project: Project
) -> None:
    """Publish first on a machine whose clock is an hour ahead: its snapshot seems to be the newest."""
    warehouse = copied.warehouse()
    with warehouse.connect() as connection:
        connection.execute("UPDATE snapshots SET published_at = published_at + INTERVAL 1 HOUR")
        connection.execute("UPDATE image_tensors SET run_id = 'second'")
    published = warehouse.publish(Path("unused.duckdb"), SPEC)
    [first, second] = [snapshot for snapshot, _ in copied.publications()]
    assert second == published.snapshot_id
    for asked, wanted in ((None, second), (second[:12], second), (first, first)):
        with closing(open_samples(copied.location, snapshot=asked)) as samples:
            assert samples.snapshot_id == wanted
            with closing(pickle.loads(pickle.dumps(samples))) as again:
                assert np.array_equal(again.images[:], samples.images[:])


def test_publications_stay_recorded_after_a_clock_that_was_ahead(copied: Lake) -> None:
    """Test a former bug: a row newer than the clock was taken for one of a killed run, and was deleted."""
    warehouse = copied.warehouse()
    with warehouse.connect() as connection:
        connection.execute("UPDATE snapshots SET published_at = published_at + INTERVAL 2 HOUR")
    first = warehouse.publish(Path("unused.duckdb"), SPEC)
    with warehouse.connect() as connection:
        connection.execute("UPDATE mvtec_ad.images SET modified_at = now()")
        connection.execute(
            f"UPDATE {PUBLISHED_VERSIONS} SET published_at = published_at - INTERVAL 3 HOUR"
        )
    second = warehouse.publish(Path("unused.duckdb"), SPEC)
    third = warehouse.publish(Path("unused.duckdb"), SPEC)
    assert (second.written, third.written) == (True, False)
    recorded = {row[0] for row in copied.rows("SELECT snapshot_id FROM snapshots")}
    assert {first.snapshot_id, second.snapshot_id} <= recorded


def test_the_log_has_events_after_the_last_publication_and_takes_no_lock(
    copied: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    warehouse = copied.warehouse()
    with warehouse.finishing():
        with warehouse.connect() as connection:
            note_step_events(connection, "run", [StepEvent("samples", "refused", "It shrank.")])
            refresh(connection, *HISTORY_VIEWS)
        monkeypatch.setenv("ANOMALY_WAREHOUSE", copied.location)
        assert main(["log"]) == 0
    printed = capsys.readouterr()
    first, newest, *_ = printed.out.splitlines()
    assert first == f"{copied.parsed.name}, newest first, times in UTC"
    assert newest.endswith("  refused It shrank.")
    assert printed.err == ""
    assert PASSWORD not in printed.out
