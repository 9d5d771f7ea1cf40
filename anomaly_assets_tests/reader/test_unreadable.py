"""Test that every call that opens a published file raises our own error, which explains what to do."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from anomaly_assets.reader import DatabaseError, diff_snapshots, list_snapshots, open_samples
from anomaly_assets.warehouse.file import pinned_file as held
from anomaly_assets.warehouse.file import snapshots
from anomaly_assets.warehouse.open_published import explained
from anomaly_assets_tests.reader.published import publish_rows

ONE, OTHER = "abcdef012345", "abcdef012346"

CALLS: dict[str, Callable[[Path], Any]] = {
    "open": open_samples,
    "open by id": lambda path: open_samples(path, snapshot=ONE),
    "list": list_snapshots,
    "compare": lambda path: diff_snapshots(ONE, OTHER, path),
}


def empty(path: Path) -> None:
    path.touch()


def text(path: Path) -> None:
    path.write_text("no database at all" * 1000)


def folder(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def other_database(path: Path) -> None:
    duckdb.connect(str(path)).close()


def other_columns(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE TABLE samples AS SELECT 1 AS a; CREATE TABLE snapshots AS FROM samples"
        )


DOES_NOT_EXIST = "does not exist: run `make materialize`, or name the published file"
IS_NO_DATABASE = "cannot be read: IO Error: .*delete it and run `make materialize`"
IS_ANOTHER_ONE = (
    "anomaly.duckdb is not a published database of this project: .*`make materialize` makes one"
)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("name", "make", "error", "message"),
    [
        ("none.duckdb", None, FileNotFoundError, DOES_NOT_EXIST),
        ("none/anomaly.duckdb", None, FileNotFoundError, DOES_NOT_EXIST),
        ("file/anomaly.duckdb", None, FileNotFoundError, DOES_NOT_EXIST),
        ("null\0byte", None, FileNotFoundError, DOES_NOT_EXIST),
        (
            "x" * 300,
            None,
            DatabaseError,
            "cannot be opened: File name too long. Name the published file",
        ),
        ("anomaly.duckdb", empty, DatabaseError, IS_NO_DATABASE),
        ("anomaly.duckdb", text, DatabaseError, IS_NO_DATABASE),
        ("anomaly.duckdb", folder, DatabaseError, "is a folder: name the published file in it"),
        (
            "anomaly.duckdb",
            pipe,
            DatabaseError,
            "cannot be opened: Not a regular file. Name the",
        ),
        (
            "anomaly.duckdb",
            link_to_itself,
            DatabaseError,
            "cannot be opened: Too many levels of symb",
        ),
        ("anomaly.duckdb", other_database, DatabaseError, IS_ANOTHER_ONE),
        ("anomaly.duckdb", other_columns, DatabaseError, IS_ANOTHER_ONE),
    ],
)
def test_what_cannot_be_opened_is_named_with_what_to_do(
    tmp_path: Path,
    call: str,
    name: str,
    make: Callable[[Path], None] | None,
    error: type[Exception],
    message: str,
) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / name
    if make is not None:
        make(path)
    with pytest.raises(error, match=message):
        CALLS[call](path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return publish_rows(tmp_path / "anomaly.duckdb", 3, 2, snapshot_id="0" * 64)


@pytest.fixture
def written_here(path: Path) -> Iterator[None]:
    with duckdb.connect(str(path)):
        yield


@pytest.fixture
def written_elsewhere(path: Path) -> Iterator[None]:
    program = f"import duckdb; held = duckdb.connect({str(path)!r}); print(flush=True); input()"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdin is not None
        assert writer.stdout.readline() == b"\n"
        yield
        writer.stdin.write(b"\n")


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: object, *_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(name))

    monkeypatch.setattr(held.os, "open", refuse)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("written_here", "This process has it open for writing. Close that connection first"),
        ("written_elsewhere", "Close it in the program that has it open for writing, then open it"),
        ("forbidden", "Permission denied. Ask its owner for permission to read it"),
    ],
)
def test_a_file_that_others_keep_to_themselves_is_named_with_what_to_do(
    path: Path, call: str, state: str, message: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(state)
    with pytest.raises(DatabaseError, match=f"anomaly.duckdb cannot be read: .*{message}"):
        CALLS[call](path)


def test_a_folder_that_cannot_be_listed_hides_older_snapshots_only(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> list[Path]:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(snapshots, "kept_paths", refuse)
    assert len(open_samples(path, snapshot="0" * 64)) == 3
    for call in ("open by id", "list", "compare"):
        with pytest.raises(
            DatabaseError, match=f"{path.parent} cannot be listed: Permission denied. Ask"
        ):
            CALLS[call](path)


def test_an_older_snapshot_that_is_damaged_is_named_when_it_is_asked_for(path: Path) -> None:
    kept = snapshots.kept_path(path, ONE)
    kept.write_bytes(path.read_bytes()[:5000])
    assert [each.snapshot_id for each in list_snapshots(path)] == ["0" * 64]
    with pytest.raises(DatabaseError, match=f"{kept} cannot be read"):
        open_samples(path, snapshot=ONE)
    with pytest.raises(LookupError, match="No single snapshot '999999'"):
        open_samples(path, snapshot="999999")


def test_a_damaged_published_file_hides_no_older_snapshot(path: Path) -> None:
    shutil.copyfile(path, snapshots.kept_path(path, "0" * 64))
    path.write_bytes(b"")
    assert len(open_samples(path, snapshot="0" * 12)) == 3
    with pytest.raises(DatabaseError, match=f"{path} cannot be read"):
        list_snapshots(path)


def test_a_database_that_was_never_published_is_no_empty_list(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("DELETE FROM snapshots")
    with pytest.raises(
        DatabaseError, match="anomaly.duckdb was never published: run `make materialize`"
    ):
        list_snapshots(path)


def test_a_lake_has_no_files_to_list_and_its_password_is_not_shown() -> None:
    location = "ducklake:postgres:host=db.example dbname=anomaly password=hidden-one"
    for call in (list_snapshots, lambda lake: diff_snapshots(ONE, OTHER, lake)):
        with pytest.raises(
            DatabaseError, match="dbname=anomaly host=db.example is not a file"
        ) as told:
            call(location)
        assert "hidden-one" not in str(told.value)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (
            duckdb.InvalidInputException("Required module 'pytz' failed to import, due to …"),
            "Install the missing package: pip install pytz.",
        ),
        (
            duckdb.IOException(
                "Trying to read a database file with version number 9999, but we can"
            ),
            "Install a DuckDB version that reads it: pip install 'duckdb>=1.5.5,<2'.",
        ),
        (
            duckdb.OutOfMemoryException("Out of Memory Error: could not allocate block"),
            "Select fewer samples, or end other programs that take memory.",
        ),
    ],
)
def test_what_is_wrong_with_the_machine_is_no_damage_of_the_file(
    error: duckdb.Error, advice: str
) -> None:
    with pytest.raises(DatabaseError) as told, explained("anomaly.duckdb"):
        raise error
    assert str(told.value) == f"anomaly.duckdb cannot be read: {error}. {advice}"


def test_a_lake_that_cannot_be_read_is_not_to_be_deleted() -> None:
    with pytest.raises(DatabaseError) as told, explained("ducklake:postgres:host=db.example"):
        raise duckdb.IOException("Cannot open file")
    assert str(told.value) == (
        "ducklake:postgres:host=db.example cannot be read: Cannot open file. Open it again; if that fails "
        "too, check that its server runs and its files still exist."
    )


WITHOUT_PYTZ = """
import sys
sys.modules["pytz"] = None
from anomaly_assets.reader import list_snapshots, open_samples
[snapshot] = list_snapshots(sys.argv[1])
print(snapshot.published_at.tzinfo, open_samples(sys.argv[1])[0].metadata["loaded_at"].tzinfo)
"""


@pytest.mark.slow
def test_times_are_read_without_pytz_and_in_utc(path: Path) -> None:
    """Test without pytz: DuckDB 1.5 needs it for times with a time zone, and does not declare it."""
    command = [sys.executable, "-c", WITHOUT_PYTZ, str(path)]
    environment = os.environ | {"TZ": "Asia/Tokyo"}
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert found.stdout == "UTC UTC\n"
