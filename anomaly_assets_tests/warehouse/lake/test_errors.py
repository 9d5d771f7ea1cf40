"""Test that faults of a lake give our own messages, in every way to read it, and in a run."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from anomaly_assets.cli.export import main as export
from anomaly_assets.cli.info import main as say_what_there_is
from anomaly_assets.errors import WarehouseError
from anomaly_assets.export import FORMATS
from anomaly_assets.reader import DatabaseError, open_samples
from anomaly_assets.warehouse.copying.copy import copy_database
from anomaly_assets.warehouse.lake.connect import attach_lake, start_for_lakes
from anomaly_assets.warehouse.lake.expire import expire_versions
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.stores.s3 import ACCESS_KEY, S3, SECRET_KEY
from anomaly_assets_tests.warehouse.lake.lakes import Lake, new_lake
from anomaly_assets_tests.warehouse.lake.postgres import Postgres
from anomaly_assets_tests.warehouse.lake.test_expire import publish_removal
from anomaly_assets_tests.warehouse.project import SPEC

KEYS = "Check the keys of S3 in the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
RESTORE = "Check that its folder or bucket is mounted and complete, and restore missing files."


def raised(error: type[Exception], call: Callable[[], object]) -> str:
    """Return the message of our own error, whose cause is an error of DuckDB."""
    with pytest.raises(error) as found:
        call()
    assert isinstance(found.value.__cause__, duckdb.Error)
    said = "".join(traceback.format_exception(found.value))
    assert SECRET_KEY not in said
    assert ACCESS_KEY not in said
    return str(found.value)


def printed(
    capsys: pytest.CaptureFixture[str], folder: Path, location: str, *options: str
) -> list[str]:
    """Return the message of each export format about a lake that it cannot read."""
    said = []
    for name in FORMATS:
        out = folder / name
        arguments = ["--format", name, "--out", str(out), "--database", location, *options]
        assert export(arguments) == 1
        assert not out.exists()
        said.append(capsys.readouterr().err.removeprefix("error: ").rstrip("\n"))
    return said


def remove_one(lake: Lake) -> str:
    """Publish without one image, and return the id of that snapshot."""
    return publish_removal(lake, lake.rows("SELECT min(image_id) FROM mvtec_ad.images")[0][0])


def expire_with_ducklake(lake: Lake, version: int) -> None:
    """Expire a version like DuckLake's own maintenance, which ignores publications."""
    with closing(start_for_lakes()) as connection:
        attach_lake(connection, lake.parsed, "lake")
        connection.execute(f"CALL ducklake_expire_snapshots('lake', versions => [{version}])")


def test_a_publication_that_expires_while_it_is_open_is_named(copied: Lake) -> None:
    [(snapshot, version)] = copied.publications()
    with closing(open_samples(copied.location)) as samples:
        pickled = pickle.dumps(samples)
        remove_one(copied)
        expire_versions(copied.warehouse(), keep=0, grace=timedelta())
        said = raised(DatabaseError, lambda: samples.images[:])
        assert f": version {version}, which was open, has expired. Open the samples again" in said
    with pytest.raises(DatabaseError, match=f"has no snapshot '{snapshot}'. Published: "):
        _ = pickle.loads(pickled).images[:]


def test_an_expired_publication_is_an_error_of_lookup_that_names_the_others(
    copied: Lake, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    [(first, version)] = copied.publications()
    second = remove_one(copied)
    expire_with_ducklake(copied, version)
    said = raised(LookupError, lambda: open_samples(copied.location, snapshot=first))
    assert f": snapshot {first[:12]} has expired. Open another one ({second[:12]}), or" in said
    assert printed(capsys, tmp_path, copied.location, "--snapshot", first) == [said] * len(FORMATS)
    with closing(open_samples(copied.location)) as samples:
        assert (samples.snapshot_id, len(samples)) == (second, 8)


def test_after_the_only_publication_has_expired_the_next_one_makes_the_lake_readable(
    copied: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    [(snapshot, version)] = copied.publications()
    expire_with_ducklake(copied, version)
    said = raised(LookupError, lambda: open_samples(copied.location))
    assert f": snapshot {snapshot[:12]} has expired. Open another one (there is none), or" in said
    monkeypatch.delenv("ANOMALY_DATABASE")
    assert say_what_there_is() == 1
    assert capsys.readouterr().err == f"There is nothing to read yet: {said}\n"
    assert copied.warehouse().publish(Path("unused.duckdb"), SPEC).written
    with closing(open_samples(copied.location)) as samples:
        assert (samples.snapshot_id, len(samples)) == (snapshot, 9)


@pytest.mark.parametrize("table", ["published_versions", "image_tensors"])
def test_a_missing_data_file_is_named(
    copied: Lake, table: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for path in Path(copied.folder, "main", table).rglob("*.parquet"):
        path.unlink()
    said = raised(DatabaseError, lambda: open_samples(copied.location).images[:])
    assert f": its data file {copied.folder}/main/{table}/" in said
    assert said.endswith(f".parquet is missing. {RESTORE}")
    assert printed(capsys, tmp_path, copied.location) == [said] * len(FORMATS)
    copied_to = str(tmp_path / "copy.duckdb")
    copy = lambda: copy_database(copied.location, copied_to, log=lambda _: None)  # noqa: E731
    assert raised(WarehouseError, copy).endswith(RESTORE)
    published = lambda: copied.warehouse().publish(Path("unused.duckdb"), SPEC)  # noqa: E731
    assert raised(WarehouseError, published).endswith(RESTORE)


def test_a_store_that_refuses_the_keys_lacks_a_file_or_is_away_is_named(
    tiny: Environment, source: Path, postgres: Postgres, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    s3.put("lake-errors/.keep", b"")
    lake = new_lake(tiny, postgres, s3.location("lake-errors"), monkeypatch)
    copy_database(str(source), lake.location, lake_data=lake.folder, log=lambda _: None)

    def read() -> str:
        return raised(DatabaseError, lambda: open_samples(lake.location).images[:])

    def run() -> str:
        return raised(WarehouseError, lambda: lake.warehouse().publish(Path("unused"), SPEC))

    with monkeypatch.context() as wrong:
        for name, value in s3.wrong_environment().items():
            wrong.setenv(name, value)
        for said in (read(), run()):
            assert ": its store denies access to the data file http://" in said
            assert KEYS in said
    with monkeypatch.context() as away:
        away.setenv("AWS_ENDPOINT_URL", s3.environment(1)["AWS_ENDPOINT_URL"])
        for said in (read(), run()):
            assert ": its store does not answer for the data file http://127.0.0.1:1/" in said
            assert "Check AWS_ENDPOINT_URL and the network" in said
    for path in s3.paths("lake-errors/main/image_tensors/"):
        s3.delete(path)
    assert read().endswith(f".parquet is missing. {RESTORE}")
