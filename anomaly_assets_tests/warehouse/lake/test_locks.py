"""Test locks: exclusion, waits with timeouts, and no deadlock."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from anomaly_assets.errors import WarehouseBusyError, WarehouseError
from anomaly_assets.warehouse.lake.locks import LakeLocks
from anomaly_assets.warehouse.lake.warehouse import LakeWarehouse
from anomaly_assets_tests.warehouse.lake.conftest import skipped_where_missing
from anomaly_assets_tests.warehouse.lake.lakes import Lake
from anomaly_assets_tests.warehouse.lake.pgbouncer import pgbouncer
from anomaly_assets_tests.warehouse.other_process import other_process

REFRESHES = """
import sys
from anomaly_assets.warehouse.open import open_warehouse
with open_warehouse(sys.argv[1]).refreshing("mvtec_ad"):
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_a_source_dataset_that_another_process_refreshes_is_waited_for_and_the_other_is_free(
    lake: Lake,
) -> None:
    with other_process(REFRESHES, lake.location) as other:
        with lake.warehouse().refreshing("dagm_2007") as held:
            assert held
        with (
            pytest.raises(WarehouseBusyError) as raised,
            lake.warehouse(1.0).refreshing("mvtec_ad"),
        ):
            pass
    pattern = (
        r"ducklake:postgres:.*: the refresh of mvtec_ad was held for more than 1 s by "
        rf"anomaly_assets {other.pid} on {re.escape(socket.gethostname())} since [-0-9: ]+ UTC\. "
        "Wait for that run to end or stop it, then run again."
    )
    assert re.fullmatch(pattern, str(raised.value))


def test_publishing_waits_until_nobody_refreshes_and_says_for_whom(lake: Lake) -> None:
    with other_process(REFRESHES, lake.location) as other:
        with (
            pytest.raises(WarehouseBusyError, match=f"finishing was held .* {other.pid} on"),
            lake.warehouse(0.5).finishing(),
        ):
            pass
        other.let_go_after(2.0)
        said: list[str] = []
        with LakeWarehouse(lake.parsed, lake.folder, 60.0, said.append).finishing():
            pass
    assert re.fullmatch(
        rf"Waiting for finishing in ducklake:.*, held by anomaly_assets {other.pid} on .* since .* UTC\.",
        said[0],
    )


def test_a_killed_process_holds_nothing(lake: Lake) -> None:
    with other_process(REFRESHES, lake.location) as other:
        other.kill()
        with lake.warehouse(5.0).refreshing("mvtec_ad"):
            pass


def test_the_tensors_of_another_runs_source_dataset_come_last(lake: Lake) -> None:
    warehouse = lake.warehouse(20.0)
    with other_process(REFRESHES, lake.location) as other:
        turns = warehouse.turns(["mvtec_ad", "dagm_2007"])
        with closing(turns):
            assert next(turns) == ["dagm_2007"]
            other.let_go()
            assert next(turns) == ["mvtec_ad"]
            assert [*turns] == []


def test_two_that_finish_after_refreshing_do_not_wait_for_each_other(lake: Lake) -> None:
    one, two = lake.warehouse(5.0), lake.warehouse(0.3)
    with one.locked(), two.locked():
        with one.refreshing("mvtec_ad"):
            pass
        with two.refreshing("dagm_2007"):
            pass
        with pytest.raises(WarehouseBusyError), two.finishing():
            pass  # `one` may refresh some more
        with one.finishing():  # `two` gave back what it had, before it asked for more
            pass


def test_a_refresh_after_finishing_is_possible(lake: Lake) -> None:
    with lake.warehouse(0.3).locked() as warehouse:
        with warehouse.finishing():
            pass
        with warehouse.refreshing("mvtec_ad"), warehouse.writing(), warehouse.writing():
            pass


def test_a_lock_that_is_granted_just_before_its_timeout_is_held_once(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    from psycopg.errors import LockNotAvailable

    take = LakeLocks._lock

    def late(locks: LakeLocks, function: str, lock: str) -> object:
        found = take(locks, function, lock)
        if function == "pg_advisory_lock" and lock == "writing":
            raise LockNotAvailable
        return found

    first, other = lake.warehouse(), lake.warehouse(1.0)
    with first.locked(), other.locked():
        with monkeypatch.context() as patch:
            patch.setattr(LakeLocks, "_lock", late)
            with first.writing():
                pass
        with other.writing():
            pass


def test_a_lost_session_ends_the_run(lake: Lake) -> None:
    with lake.warehouse().locked() as warehouse, lake.postgres.session(lake.database) as session:
        with warehouse.writing():
            pass
        session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
            [f"anomaly_assets {os.getpid()} on {socket.gethostname()}"],
        )
        with (
            pytest.raises(WarehouseError, match="connection that holds the locks .* is lost"),
            warehouse.writing(),
        ):
            pass


def test_a_wrong_password_is_refused_at_once_and_not_shown(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "not-it-at-all")
    with pytest.raises(WarehouseError) as raised, lake.warehouse().locked():
        pass
    assert "password authentication failed" in str(raised.value)
    assert "not-it-at-all" not in str(raised.value)


def test_a_server_that_is_down_is_named_within_seconds(lake: Lake) -> None:
    down = lake.postgres.location(lake.database, password="hidden-one").replace(
        f"port={lake.postgres.port}", "port=1"
    )
    from anomaly_assets.warehouse.open import open_warehouse

    asked = time.monotonic()
    with pytest.raises(WarehouseError) as raised, open_warehouse(down).locked():
        pass
    assert time.monotonic() - asked < 15
    assert "Connection refused" in str(raised.value)
    assert "hidden-one" not in str(raised.value)


@pytest.mark.parametrize("of", ["ROLE anomaly_tests", "DATABASE {}"])
def test_limits_of_a_role_or_a_database_do_not_end_a_lock(lake: Lake, of: str) -> None:
    timeouts = ("statement_timeout", "idle_session_timeout")
    with lake.postgres.session(lake.database) as session:
        for name in timeouts:
            session.execute(f"ALTER {of.format(lake.database)} SET {name} = '300ms'".encode())
        try:
            with other_process(REFRESHES, lake.location) as other:
                other.let_go_after(2.5)
                with lake.warehouse(60.0).refreshing("mvtec_ad"):  # waited for, longer than 300 ms
                    time.sleep(1.0)  # idle for longer than 300 ms
        finally:
            for name in timeouts:
                session.execute(f"ALTER {of.format(lake.database)} RESET {name}".encode())


@pytest.mark.parametrize("round_robin", [False, True])
def test_a_pooler_in_transaction_mode_is_refused(lake: Lake, round_robin: bool) -> None:
    with lake.warehouse().locked() as warehouse, warehouse.connect():
        pass  # makes the lake
    with pooled(lake, "transaction", round_robin=round_robin) as pooler:
        for _ in range(2):  # the second time, the pooler has several sessions
            with (
                pytest.raises(
                    WarehouseError, match="is a pooler that gives every transaction another"
                ),
                pooler.warehouse(5.0).refreshing("mvtec_ad"),
            ):
                pass


def test_a_pooler_that_is_noticed_later_ends_the_run(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulate several PgBouncers behind one address, which give our session to others unnoticed."""
    monkeypatch.setattr(LakeLocks, "_refuse_shared_sessions", lambda _: None)
    with (
        pooled(lake, "transaction") as pooler,
        pooler.warehouse(5.0).locked() as warehouse,
        pooler.postgres.session(lake.database) as other,
        other.transaction(),
    ):
        other.execute("SELECT 1")  # gets the session of the run
        with (
            pytest.raises(WarehouseError, match="is a pooler that gives every transaction another"),
            warehouse.refreshing("mvtec_ad"),
        ):
            pass


def test_a_pooler_in_session_mode_is_as_good_as_the_server(lake: Lake) -> None:
    with pooled(lake, "session") as pooler, other_process(REFRESHES, pooler.location) as other:
        with (
            pytest.raises(WarehouseBusyError, match=f"held .* by anomaly_assets {other.pid} on"),
            pooler.warehouse(0.5).refreshing("mvtec_ad"),
        ):
            pass
        other.let_go()
        with pooler.warehouse(20.0).refreshing("mvtec_ad"):
            pass


@contextmanager
def pooled(lake: Lake, mode: str, *, round_robin: bool = False) -> Iterator[Lake]:
    """Return the lake, reached through a pooler."""
    with skipped_where_missing(), pgbouncer(lake.postgres, mode, round_robin=round_robin) as pooler:
        yield replace(lake, postgres=pooler)
