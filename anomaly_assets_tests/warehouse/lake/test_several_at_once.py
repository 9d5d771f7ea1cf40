"""Test several machines, as processes: concurrent refreshes, reads, and kills."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing

import duckdb
import pytest

from anomaly_assets.warehouse.lake.connect import connect_lake
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import run_job
from anomaly_assets_tests.assets.trees import write_image
from anomaly_assets_tests.faults.content import Content, read_content
from anomaly_assets_tests.sampled import SAMPLED
from anomaly_assets_tests.warehouse.lake.lakes import Lake
from anomaly_assets_tests.warehouse.lake.refresher import Refresher, refresher

DOUBLED = "SELECT image_id FROM {} GROUP BY ALL HAVING count(*) > 1"


def embedded(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Content:
    with monkeypatch.context() as patch:
        patch.setenv("ANOMALY_WAREHOUSE", str(environment.warehouse))
        assert run_job().success
    return read_content(environment.database)


def started_together(lake: Lake, *jobs: str, rows: int | None = None) -> list[Refresher]:
    """Start refreshers that wait for each other before they begin."""
    with lake.warehouse().finishing():
        started = [refresher(job, rows=rows) for job in jobs]
        wait_until(lambda: waiting(lake) >= len(jobs), *started)
    return started


def waiting(lake: Lake) -> int:
    with lake.postgres.session(lake.database) as session:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        found = session.execute(query).fetchone()
    assert found is not None
    return int(found[0])


def wait_until(reached: Callable[[], bool], *running: Refresher, seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "it did not come about"
        for each in running:
            assert each.process.poll() is None or reached(), each.process.communicate()
        time.sleep(0.02)


@pytest.mark.parametrize(
    "jobs", [[f"refresh_{name}" for name in SAMPLED], ["refresh_all", "refresh_all"]]
)
def test_two_refreshes_at_once_give_what_one_gives_and_publish_it_once(
    tiny: Environment, lake: Lake, monkeypatch: pytest.MonkeyPatch, jobs: list[str]
) -> None:
    results = [each.result() for each in started_together(lake, *jobs, rows=2)]
    assert [result["success"] for result in results] == [True, True], results
    assert lake.published().differences(embedded(tiny, monkeypatch)) == []
    for table in ("images", "image_tensors"):
        assert lake.rows(DOUBLED.format(table)) == []
    assert sorted(result["published"]["written"] for result in results) == [False, True]
    assert len({result["published"]["snapshot_id"] for result in results}) == 1
    assert len(lake.publications()) == 1


def test_readers_see_one_publication_or_the_next_and_never_wait(
    tiny: Environment, lake: Lake
) -> None:
    assert run_job().success
    (before, _), *_ = lake.publications()
    counts = "SELECT (SELECT count(*) FROM images), (SELECT count(*) FROM image_tensors)"
    with closing(connect_lake(lake.location)) as reader:
        pixels = reader.execute("SELECT sum(hash(image_tensor)) FROM samples").fetchall()
        for number in range(4):
            write_image(tiny.mvtec_ad, f"bolt/train/good/10{number}.png")
        running = refresher("refresh_all", rows=1)
        seen, slowest = set(), 0.0
        while running.process.poll() is None:
            asked = time.monotonic()
            assert reader.execute(counts).fetchall() == [(13, 13)]
            with closing(connect_lake(lake.location)) as other:
                seen.add(other.execute(counts).fetchall()[0])
            slowest = max(slowest, time.monotonic() - asked)
        assert running.result()["success"]
        assert reader.execute("SELECT sum(hash(image_tensor)) FROM samples").fetchall() == pixels
    assert seen <= {(13, 13), (17, 17)}
    assert slowest < 10
    with closing(connect_lake(lake.location)) as newest:
        assert newest.execute(counts).fetchall() == [(17, 17)]
    with closing(connect_lake(lake.location, snapshot=before[:10])) as older:
        assert older.execute(counts).fetchall() == [(13, 13)]


@pytest.mark.parametrize("tensors", [0, 3])
def test_what_a_killed_refresh_left_is_completed_by_the_next_one_which_need_not_wait(
    tiny: Environment, lake: Lake, monkeypatch: pytest.MonkeyPatch, tensors: int
) -> None:
    with lake.warehouse().locked() as warehouse, warehouse.connect():
        pass  # makes the lake
    killed = refresher("refresh_all", rows=1)
    table = "image_tensors" if tensors else "dagm_2007.images"
    with lake.newest() as connection:
        wait_until(lambda: count(connection, table) >= max(tensors, 1), killed)
        killed.kill()
    assert lake.rows("SELECT count(*) FROM image_tensors") < [(13,)]
    monkeypatch.setenv("ANOMALY_LOCK_WAIT_SECONDS", "10")
    run = run_job()
    assert run.success, run.failures
    assert lake.published().differences(embedded(tiny, monkeypatch)) == []


def count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    try:
        [(rows,)] = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    except duckdb.CatalogException:
        return 0  # it is not there yet
    return int(rows)
