"""Test a database of MotherDuck, simulated by a DuckDB file: its clone is replaced during reads."""

from __future__ import annotations

import pickle
from pathlib import Path

import duckdb
import pytest

from anomaly_assets.reader import DatabaseError, open_samples, selection
from anomaly_assets.warehouse.motherduck import warehouse as motherduck
from anomaly_assets_tests.reader.published import publish_rows
from anomaly_assets_tests.reader.swapping import around

ID, OTHER_ID = "1" * 64, "2" * 64


class Played:
    """A simulated MotherDuck with one database, `team_published`."""

    def __init__(self, folder: Path) -> None:
        self.instance = duckdb.connect(":memory:")
        self.files = [
            publish_rows(folder / f"{letter}.duckdb", 6, 4, snapshot_id=snapshot_id, letter=letter)
            for snapshot_id, letter in ((ID, "A"), (OTHER_ID, "a"))
        ]
        self.publish()

    def publish(self) -> None:
        """Replace the clone, as `CREATE OR REPLACE DATABASE` does."""
        self.instance.execute("DETACH DATABASE IF EXISTS team_published")
        self.instance.execute(f"ATTACH '{self.files.pop(0)}' AS team_published (READ_ONLY)")

    def connect(self, _: object) -> duckdb.DuckDBPyConnection:
        connection = self.instance.cursor()
        connection.execute("USE team_published.main")
        return connection


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    made = Played(tmp_path)
    monkeypatch.setattr(motherduck, "connect_motherduck", made.connect)
    return made


def test_samples_of_a_clone_that_was_replaced_are_refused_here_and_in_workers(
    played: Played,
) -> None:
    samples = open_samples("md:team_published")
    worker, late_worker = (pickle.loads(pickle.dumps(samples)) for _ in range(2))
    assert samples.snapshot_id == ID
    for reader in (samples, worker):
        assert ord("A") <= reader.images[:].min() <= reader.images[:].max() <= ord("Z")
    played.publish()
    message = (
        f"md:team_published was replaced since .* \\(snapshot {ID}\\), .* Open the samples again"
    )
    for reader in (samples, worker, late_worker):
        for read in (reader.images, reader.masks):
            with pytest.raises(DatabaseError, match=message):
                read[:]
    with open_samples("md:team_published") as newest:
        assert newest.snapshot_id == OTHER_ID
        assert newest.images[:].min() >= ord("a")


def test_samples_that_are_selected_from_two_clones_are_refused(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    publications = iter([played.publish])

    def publish_once() -> None:
        for publish in publications:
            publish()

    monkeypatch.setattr(selection, "_statistics", around(selection._statistics, publish_once))
    with pytest.raises(DatabaseError, match=f"was replaced since .* \\(snapshot {ID}\\)"):
        open_samples("md:team_published")
