"""Test readers while the published file is replaced, at each possible moment."""

from __future__ import annotations

import os
from typing import Any
from unittest import mock

import duckdb
import pytest

from anomaly_assets.reader import (
    SnapshotDifference,
    diff_snapshots,
    list_snapshots,
    open_samples,
)
from anomaly_assets.tables.sql_text import sql_literal
from anomaly_assets.warehouse import open_published as opened
from anomaly_assets.warehouse.file import snapshots
from anomaly_assets.warehouse.file.snapshots import kept_path
from anomaly_assets_tests.reader.swapping import Swapped, around, open_by_id, swapped


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Swapped:
    return swapped(tmp_path_factory.mktemp("swapped"))


@pytest.mark.parametrize("digits", [12, 64])
@pytest.mark.parametrize("number", [0, 1])
def test_a_snapshot_that_is_named_is_the_one_that_is_opened(
    both: Swapped, number: int, digits: int
) -> None:
    wanted = [*both.files][number]

    def read() -> None:
        with open_samples(both.database, snapshot=wanted[:digits]) as samples:
            assert samples.snapshot_id == wanted
            assert both.is_right(samples)

    assert both.swap_at_each_step(read) > 10


def test_many_swaps_while_a_file_is_opened_give_no_other_snapshot(both: Swapped) -> None:
    before = both.swaps
    outcomes = open_by_id(both, 12, seed=0)
    assert outcomes["wrong"] == 0
    assert outcomes["right"] + outcomes["LookupError"] == 12
    assert both.swaps - before > 50


def test_metadata_rows_and_pixels_are_of_one_file(both: Swapped) -> None:
    def read() -> None:
        with open_samples(both.database) as samples:
            assert both.is_right(samples)

    assert both.swap_at_each_step(read) > 5


def test_where_each_attempt_opens_another_file_duckdb_reads_the_one_that_it_has(
    both: Swapped, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(opened, "_has_opened", lambda *_: False)
        samples = open_samples(both.database)
    with samples:
        assert samples._pixels.threads == 1
        assert both.is_right(samples)


def test_another_database_that_is_opened_at_the_same_moment_is_not_taken_for_ours(
    both: Swapped,
) -> None:
    """Open the held file in another thread, in the moment in which DuckDB opens the other file."""
    has_opened = opened._has_opened
    elsewhere: list[duckdb.DuckDBPyConnection] = []
    found = []

    def resolved(address: str) -> str:
        if not elsewhere:
            elsewhere.append(duckdb.connect(address, read_only=True))
            both.swap()
        return sql_literal(str(both.database))

    def noted(*arguments: Any) -> bool:
        found.append(has_opened(*arguments))
        return found[-1]

    with (
        mock.patch.object(opened, "_has_opened", noted),
        mock.patch.object(opened, "sql_literal", resolved),
        open_samples(both.database) as samples,
    ):
        assert both.is_right(samples)
    elsewhere[0].close()
    assert found == [False, True]


def test_snapshots_are_listed_while_they_are_swapped(both: Swapped) -> None:
    def read() -> None:
        listed = [each.snapshot_id for each in list_snapshots(both.database)]
        assert sorted(listed) == sorted(both.files)

    assert both.swap_at_each_step(read) > 10


def test_a_list_of_snapshots_has_the_published_one_however_often_it_is_swapped(
    both: Swapped, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.hook(monkeypatch, both.swap)
    for _ in range(3):
        listed = {each.snapshot_id for each in list_snapshots(both.database)}
        assert listed
        assert listed <= {*both.files}


def test_an_older_file_that_is_removed_meanwhile_hides_no_other(
    both: Swapped, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest, older = list_snapshots(both.database)
    kept = kept_path(both.database, older.snapshot_id)

    def remove() -> None:
        kept.unlink(missing_ok=True)

    def resolved(address: str) -> str:
        if (name := os.path.realpath(address)) != str(kept):
            return sql_literal(address)
        remove()
        return sql_literal(name)

    # A file that is already open is read although its name was removed.
    for module, name, function, expected in (
        (snapshots, "kept_paths", around(snapshots.kept_paths, remove), [newest]),
        (snapshots, "open_file", around(snapshots.open_file, remove), [newest, older]),
        (opened, "sql_literal", resolved, [newest, older]),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, function)
            assert list_snapshots(both.database) == expected
        assert list_snapshots(both.database) == [newest]
        both.swap()
        both.swap()
        assert list_snapshots(both.database) == [newest, older]


def test_snapshots_are_compared_while_they_are_swapped(both: Swapped) -> None:
    a, b = both.files
    expected = SnapshotDifference(changed=both.ids[a])

    def read() -> None:
        assert diff_snapshots(a, b, both.database) == expected

    assert both.swap_at_each_step(read) > 20
