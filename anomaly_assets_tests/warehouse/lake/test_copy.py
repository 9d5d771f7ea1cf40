"""Test copies from a file to a lake and back: equal, resumable, and never overwriting."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import duckdb
import pytest

from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.warehouse.__main__ import main
from anomaly_assets.warehouse.copying import copy as copying
from anomaly_assets.warehouse.copying.copy import CopyError, copy_database
from anomaly_assets.warehouse.lake import publish as lake_publish
from anomaly_assets.warehouse.lake.warehouse import LakeWarehouse
from anomaly_assets.warehouse.removal import forget
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.assets.runs import run_job
from anomaly_assets_tests.faults.content import read_content
from anomaly_assets_tests.warehouse.lake.lakes import Lake
from anomaly_assets_tests.warehouse.project import SPEC, Project

DIES_AFTER_THE_FIRST_CHUNK = """
import os, signal, sys
from anomaly_assets.warehouse.lake.warehouse import LakeWarehouse
from anomaly_assets.warehouse.copying.copy import copy_database
LakeWarehouse.transaction_rows = 2
copy_database(sys.argv[1], sys.argv[2], lake_data=sys.argv[3],
              log=lambda _: os.kill(os.getpid(), signal.SIGKILL))
"""


def quiet(_: str) -> None:
    """Discard a log message."""


def test_from_a_file_to_a_lake_and_back_gives_equal_tables(
    source: Path, lake: Lake, tmp_path: Path
) -> None:
    back = tmp_path / "back.duckdb"
    there = copy_database(str(source), lake.location, lake_data=lake.folder, log=quiet)
    again = copy_database(lake.location, str(back), log=quiet)
    assert there.tables == again.tables
    assert there.tables["main.image_tensors"].rows == 9
    assert {"mvtec_ad.images", "dagm_2007._dlt_loads", "main.pixel_statistics"} <= {*there.tables}
    assert read_content(back).differences(read_content(source)) == []
    assert [path.name for path in back.parent.glob("back*")] == ["back.duckdb"]


def test_what_was_copied_to_a_lake_is_published_and_refreshed_as_if_made_there(
    tiny: Environment, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("ANOMALY_WAREHOUSE", str(tiny.warehouse))
        assert run_job().success
    copy_database(str(tiny.database), lake.location, lake_data=lake.folder, log=quiet)
    assert lake.published().differences(read_content(tiny.database)) == []
    run = run_job()
    assert run.success, run.failures
    assert run.materialized["image_tensors"]["rows_added"] == 0
    assert run.materialized["published_database"]["written"] is False


def test_a_copy_that_was_killed_goes_on_where_it_was(
    source: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [str(source), lake.location, lake.folder]
    killed = subprocess.run([sys.executable, "-c", DIES_AFTER_THE_FIRST_CHUNK, *arguments])
    assert killed.returncode == -9
    assert lake.rows("SELECT count(*) FROM image_tensors") == [(1,)]
    with pytest.raises(LookupError, match="Nothing is published"):
        lake.published()
    monkeypatch.setattr(LakeWarehouse, "transaction_rows", 2)
    copied = copy_database(str(source), lake.location, lake_data=lake.folder, log=quiet)
    assert copied.tensors_written == 8
    assert lake.rows("SELECT count(*), count(DISTINCT image_id) FROM image_tensors") == [(9, 9)]
    assert lake.published().differences(read_content(source)) == []


def test_a_target_that_holds_something_else_is_refused(
    source: Path, lake: Lake, tmp_path: Path
) -> None:
    other = tmp_path / "other.duckdb"
    copy_database(str(source), lake.location, lake_data=lake.folder, log=quiet)
    with pytest.raises(CopyError, match="already holds data .* name a new one"):
        copy_database(str(source), lake.location, log=quiet)
    duckdb.connect(str(other)).close()
    with pytest.raises(CopyError, match=r"other\.duckdb exists: name a new file"):
        copy_database(str(source), str(other), log=quiet)


def test_a_pixel_that_came_out_different_is_found(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = copying._copy_chunk

    def damaged(
        connection: duckdb.DuckDBPyConnection, table: str, first: str, last: str, recipes: None
    ) -> bool:
        done = whole(connection, table, first, last, recipes)
        connection.execute(
            "UPDATE image_tensors SET image_tensor = image_tensor || '\\x00'::BLOB WHERE image_id = ?",
            [first],
        )
        return done

    monkeypatch.setattr(copying, "_copy_chunk", damaged)
    target = tmp_path / "copy.duckdb"
    with pytest.raises(CopyError, match=r"main\.image_tensors has 9 rows .* Run the copy again"):
        copy_database(str(source), str(target), log=quiet)
    assert not target.exists()
    monkeypatch.undo()
    assert copy_database(str(source), str(target), log=quiet).tensors_written == 9


def test_the_command_shows_progress_counts_and_digests_and_no_password(
    source: Path,
    lake: Lake,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    location = lake.postgres.location(lake.database, password=os.environ["PGPASSWORD"])
    monkeypatch.delenv("PGPASSWORD")
    assert main(["copy", "--from", str(source), "--to", location]) == 0
    printed = capsys.readouterr().out
    assert "9 of 9 tensors, " in printed
    assert "main.image_tensors: 9 rows, md5 " in printed
    assert "every table equals its source; " in printed
    assert main(["copy", "--from", str(source), "--to", location]) == 1
    assert main(["copy", "--from", "nowhere.duckdb", "--to", location]) == 1
    told = capsys.readouterr()
    assert "error: nowhere.duckdb does not exist." in told.err
    assert "lake+secret" not in printed + told.out + told.err


def interrupted_copy(source: Path, lake: Lake, place: ModuleType, at: str) -> None:
    """Copy, and interrupt at this function of a module."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, at, interrupted)
        with pytest.raises(KeyboardInterrupt):
            copy_database(str(source), lake.location, lake_data=lake.folder, log=quiet)


def test_what_runs_have_published_since_an_interrupted_copy_is_never_replaced(
    source: Path, lake: Lake
) -> None:
    interrupted_copy(source, lake, copying, "verified")
    with lake.warehouse().connect() as connection:
        connection.execute("DELETE FROM image_tensors WHERE image_id LIKE 'mvtec_ad/carpet/%'")
        connection.execute("DELETE FROM mvtec_ad.images WHERE category = 'carpet'")
    published = lake.publish(allow_shrink=True)
    assert published.samples == 7
    refused = (
        r"already holds data \(7 samples, published [-0-9]{10} [0-9:]{5} UTC\), which a copy never"
    )
    with pytest.raises(CopyError, match=refused):
        copy_database(str(source), lake.location, log=quiet)
    assert lake.rows("SELECT count(*) FROM samples") == [(7,)]
    assert [snapshot for snapshot, _ in lake.publications()] == [published.snapshot_id]


def test_what_a_run_has_loaded_since_an_interrupted_copy_is_never_replaced(
    source: Path, lake: Lake, project: Project, tmp_path: Path
) -> None:
    interrupted_copy(source, lake, copying, "verified")
    root = tmp_path / "root"
    shutil.copytree(project.roots_folder / "mvtec_ad" / "bottle", root / "bottle")
    load(SOURCE_DATASETS["mvtec_ad"], str(root), lake.warehouse(), allow_shrink=True)
    with pytest.raises(CopyError, match=r"already holds data \(7 samples, not published\)"):
        copy_database(str(source), lake.location, log=quiet)
    assert lake.rows("SELECT count(*) FROM mvtec_ad.images") == [(4,)]


def test_a_complete_copy_that_was_killed_before_it_was_published_is_published(
    source: Path, lake: Lake
) -> None:
    interrupted_copy(source, lake, lake_publish, "publish_current_version")
    with pytest.raises(LookupError, match="Nothing is published"):
        lake.published()
    assert copy_database(str(source), lake.location, log=quiet).tensors_written == 0
    assert lake.published().differences(read_content(source)) == []


def test_a_copy_goes_on_with_a_source_that_was_emptied_since(
    source: Path, lake: Lake, project: Project
) -> None:
    interrupted_copy(source, lake, copying, "verified")
    forget(project.warehouse, "dagm_2007")
    with project.warehouse.connect() as connection:
        for name in ("image_tensors", "mvtec_ad.images"):
            connection.execute(f"DELETE FROM {name}")
    project.refresh_all()
    assert project.warehouse.publish(source, SPEC, allow_shrink=True).samples == 0
    copy_database(str(source), lake.location, log=quiet)
    assert lake.published().differences(read_content(source)) == []
