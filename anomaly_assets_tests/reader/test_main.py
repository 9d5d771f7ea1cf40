"""Test the last lines that `make materialize` prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly_assets.cli.info import main
from anomaly_assets.reader import open_samples


def test_it_says_where_the_database_is_and_what_is_in_it(
    database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANOMALY_DATABASE", str(database))
    assert main() == 0
    with open_samples(database) as samples:
        datasets = " and ".join(sorted(set(samples.table["source_dataset"].to_pylist())))
        expected = (
            f"{database} holds {len(samples)} samples of {datasets}, "
            f"snapshot {str(samples.snapshot_id)[:12]}."
        )
        recipes = "; ".join(f"{name}: 8x6x3" for name in sorted(samples.recipes))
    where, which, what_next = capsys.readouterr().out.splitlines()
    assert where == expected
    assert which == f"Recipes of the tensors: {recipes}."
    assert "open_samples" in what_next


def test_where_nothing_is_published_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANOMALY_DATABASE", str(tmp_path / "none.duckdb"))
    assert main() == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("There is nothing to read yet: ")
    assert "run `make materialize`" in printed.err


def test_a_lake_that_is_down_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ANOMALY_DATABASE", raising=False)
    monkeypatch.setenv(
        "ANOMALY_WAREHOUSE", "ducklake:postgres:host=127.0.0.1 port=1 dbname=a password=very-secret"
    )
    assert main() == 1
    printed = capsys.readouterr()
    assert "port=1" in printed.err
    assert "very-secret" not in printed.err + printed.out
