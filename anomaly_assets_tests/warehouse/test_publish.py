"""Test publishing: a complete and compact snapshot, swapped in atomically."""

from __future__ import annotations

import ast
import os
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from anomaly_assets.errors import WarehouseError
from anomaly_assets.tables.registry import TABLES
from anomaly_assets.warehouse.file import publish as publishing
from anomaly_assets.warehouse.file.copy_file import copied_bytes
from anomaly_assets.warehouse.file.snapshots import find_snapshot, list_snapshots
from anomaly_assets.warehouse.publication import Publication, PublishRefusedError
from anomaly_assets_tests.disk import record_calls
from anomaly_assets_tests.warehouse.conftest import PICTURES
from anomaly_assets_tests.warehouse.other_process import HAS_IT_OPEN, other_process
from anomaly_assets_tests.warehouse.project import SPEC, Project, without_zones

CHANGE = "UPDATE image_tensors SET run_id = '{}'"
IDENTITY = "SELECT list(DISTINCT run_id) FROM anomaly.image_tensors"


def ask(database: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(database), read_only=True) as connection:
        return connection.execute(query).fetchall()


def give(project: Project, target: Path, run_id: str | None = None) -> Publication:
    return project.warehouse.publish(target, SPEC, run_id=run_id)


def identity(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def everything(project: Project, target: Path) -> list[list[tuple[Any, ...]]]:
    """Return all rows of all tables, of the warehouse and of the published database."""
    with project.warehouse.connect() as connection:
        connection.execute(f"ATTACH '{target}' AS published (READ_ONLY)")
        tables = [
            row[0]
            for row in connection.execute(
                """
                SELECT schema_name || '.' || table_name FROM duckdb_tables()
                WHERE database_name = 'warehouse' AND NOT ends_with(schema_name, '_staging')
                AND table_name NOT IN ('identity', 'published_files', 'intended_publication')
                UNION ALL
                SELECT 'main.' || view_name FROM duckdb_views()
                WHERE database_name = 'warehouse' AND schema_name = 'main' AND NOT internal
                ORDER BY ALL
                """
            ).fetchall()
        ]
        assert len(tables) >= len(TABLES) + 6
        return [
            without_zones(
                connection.execute(
                    f"SELECT '{table}', * FROM {name}.{table} AS row ORDER BY row::VARCHAR"
                ).fetchall()
            )
            for name in ("warehouse", "published")
            for table in tables
        ]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "shared" / "anomaly.duckdb"


@pytest.fixture(scope="module")
def published_once(
    loaded_once: Project, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, Publication]:
    project = Project.at(tmp_path_factory.mktemp("published"), loaded_once.roots_folder)
    shutil.copyfile(loaded_once.warehouse.path, project.warehouse.path)
    return project, give(project, project.folder / "shared" / "anomaly.duckdb", "a run")


@pytest.fixture
def first(published_once: tuple[Project, Publication]) -> Publication:
    """Return the result of the first publication of `published`."""
    return published_once[1]


@pytest.fixture
def published(published_once: tuple[Project, Publication], tmp_path: Path, target: Path) -> Project:
    """Return the warehouse of nine images, which is published at `target`."""
    target.parent.mkdir()
    for path in ("warehouse.duckdb", "shared/anomaly.duckdb"):
        shutil.copyfile(published_once[0].folder / path, tmp_path / path)
    return Project.at(tmp_path, published_once[0].roots_folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["anomaly.duckdb", "team.duckdb"])
def test_the_contract_name_works_whatever_the_published_file_is_called(
    project: Project, target: Path, name: str
) -> None:
    target = target.with_name(name)
    publication = give(project, target)
    assert publication.written
    assert publication.samples == 9
    assert publication.details["file_bytes"] == target.stat().st_size
    with duckdb.connect(str(target)) as connection:
        for table in ("anomaly.samples", "samples", "main.samples"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchall() == [(9,)]
        for table in TABLES:
            connection.execute(f"FROM anomaly.{table}").fetchall()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "Anomaly.duckdb", "anomaly.v2.duckdb", "main.duckdb", "samples.duckdb", "mvtec_ad.duckdb",
        "MVTEC_AD.duckdb", "dagm_2007.v2.duckdb",
    ],
)  # fmt: skip
def test_a_published_file_of_any_name_is_refused_or_has_the_contract_name(
    project: Project, target: Path, name: str
) -> None:
    target = target.with_name(name)
    refused = ""
    try:
        give(project, target)
    except WarehouseError as error:
        refused = str(error)
    if refused:
        assert "choose another file name" in refused
        assert not target.exists()
    else:
        assert ask(target, "SELECT count(*) FROM anomaly.samples") == [(9,)]


def test_a_target_with_a_question_mark_is_refused(project: Project, target: Path) -> None:
    with pytest.raises(WarehouseError, match="question mark"):
        give(project, target.with_name("team?.duckdb"))
    assert not target.parent.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["anomaly.duckdb", "team.duckdb"])
def test_a_published_file_works_under_whatever_name_it_is_attached(
    project: Project, target: Path, name: str
) -> None:
    target = target.with_name(name)
    give(project, target)
    for alias in ("db", "anomaly", "shared"):
        connection = duckdb.connect(":memory:")
        connection.execute(f"ATTACH '{target}' AS {alias} (READ_ONLY)")
        assert connection.execute(f"SELECT count(*) FROM {alias}.samples").fetchall() == [(9,)]
        assert connection.execute(f"SELECT count(*) FROM {alias}.load_history").fetchall() == [(2,)]
        connection.close()


@pytest.mark.slow
@pytest.mark.usefixtures("published")
def test_no_column_of_a_published_file_has_a_time_with_a_zone(target: Path) -> None:
    """Check views too, which keep their types until they are bound: such a time needs `pytz`."""
    query = """
        SELECT table_name, column_name FROM duckdb_columns()
        WHERE data_type LIKE '%TIME ZONE%' AND NOT internal
    """
    assert ask(target, query) == []


@pytest.mark.slow
def test_everything_in_the_warehouse_is_published(published: Project, target: Path) -> None:
    rows = everything(published, target)
    assert rows[: len(rows) // 2] == rows[len(rows) // 2 :]
    assert published.warehouse.differences(target) == []


@pytest.mark.slow
def test_publishing_what_is_already_published_writes_nothing(
    published: Project, target: Path, first: Publication
) -> None:
    before = identity(target)
    second = give(published, target)
    assert not second.written
    assert (second.snapshot_id, second.samples) == (first.snapshot_id, 9)
    assert second.details["file_bytes"] == target.stat().st_size
    assert identity(target) == before


@pytest.mark.slow
def test_a_reader_that_has_the_old_snapshot_open_keeps_reading_it(
    published: Project, target: Path
) -> None:
    with other_process(HAS_IT_OPEN, str(target), "read_only") as reader:
        assert reader.asked(IDENTITY) == "[(['first'],)]"
        published.rows(CHANGE.format("second"))
        assert give(published, target).written
        assert reader.asked(IDENTITY) == "[(['first'],)]"
        assert reader.asked("SELECT count(image_tensor) FROM anomaly.samples") == "[(9,)]"
        with other_process(HAS_IT_OPEN, str(target), "read_only") as later:
            assert later.asked(IDENTITY) == "[(['second'],)]"


def test_a_person_who_has_it_open_for_writing_is_no_hindrance(
    published: Project, target: Path
) -> None:
    published.rows(CHANGE.format("first"))
    give(published, target)
    published.rows(CHANGE.format("second"))
    with other_process(HAS_IT_OPEN, str(target), "read_write"):
        assert give(published, target).written
        assert ask(target, IDENTITY) == [(["second"],)]
        assert published.warehouse.differences(target) == []


@pytest.mark.slow
def test_what_a_killed_writer_left_behind_does_not_get_into_a_new_snapshot(
    published: Project, target: Path
) -> None:
    delete = "DELETE FROM image_tensors"
    with other_process(HAS_IT_OPEN, str(target), "read_write", delete) as person:
        person.kill()
    published.rows(CHANGE.format("second"))
    assert give(published, target).written
    assert ask(target, "SELECT count(*) FROM anomaly.samples") == [(9,)]


@pytest.mark.slow
def test_readers_during_many_swaps_get_one_snapshot_or_another(
    published: Project, target: Path
) -> None:
    opens_again_and_again = """
import sys, threading, duckdb
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
print("ready", flush=True)
seen = []
while not stop.is_set():
    with duckdb.connect(sys.argv[1], read_only=True) as connection:
        seen.append(connection.execute(sys.argv[2]).fetchall()[0])
print(len(seen), sorted({str(answer) for answer in seen}), flush=True)
"""
    query = "SELECT list(DISTINCT run_id), count(image_tensor) FROM anomaly.image_tensors"
    with other_process(opens_again_and_again, str(target), query) as reader:
        for number in range(4):
            published.rows(CHANGE.format(number))
            give(published, target)
        opened, answers = reader.asked("").split(" ", 1)
    assert int(opened) > 4
    possible = {str(([name], 9)) for name in ("first", "0", "1", "2", "3")}
    assert set(ast.literal_eval(answers)) <= possible


@pytest.mark.slow
def test_nothing_of_the_pipeline_is_published(project: Project, target: Path) -> None:
    project.rows("CREATE SCHEMA IF NOT EXISTS mvtec_ad_staging")
    project.rows("CREATE TABLE mvtec_ad_staging.copies AS SELECT 1 AS number")
    give(project, target)
    query = "SELECT DISTINCT schema_name FROM duckdb_columns() WHERE NOT internal ORDER BY ALL"
    assert ask(target, query) == [("dagm_2007",), ("main",), ("mvtec_ad",)]
    assert project.column("SELECT number FROM mvtec_ad_staging.copies") == [1]


@pytest.mark.slow
def test_nothing_is_left_beside_the_published_file(project: Project, target: Path) -> None:
    target.parent.mkdir()
    left = target.with_name(f".anomaly.duckdb.{'0' * 32}.unfinished")
    left.mkdir()
    for name in ("lock", "content", "content.wal"):
        (left / name).write_bytes(b"of a run that was killed")
    give(project, target)
    assert os.listdir(target.parent) == ["anomaly.duckdb"]


@pytest.mark.slow
def test_a_run_that_has_nothing_to_publish_removes_what_a_killed_one_left(
    published: Project, target: Path
) -> None:
    """Kill between the rename and the end."""
    target.with_name(f".anomaly.duckdb.{'0' * 32}.unfinished").mkdir()
    assert not give(published, target).written
    assert os.listdir(target.parent) == ["anomaly.duckdb"]


@pytest.mark.slow
def test_a_snapshot_is_on_the_disk_before_it_has_its_name_and_its_name_is_before_success(
    published: Project, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published.rows(CHANGE.format("second"))
    calls = record_calls(monkeypatch)
    published.warehouse.publish(target, SPEC, keep_snapshots=1)
    kept = target.with_name(next(name for name in os.listdir(target.parent) if name != target.name))
    assert calls == [
        *[("fsync", "content"), ("replace", "content", kept.name), ("fsync", "shared")],
        *[("fsync", "content"), ("replace", "content", "anomaly.duckdb"), ("fsync", "shared")],
    ]


def published_by_way_of(folder: Path, kind: str) -> Path:
    """Return a path of the target that contains a link."""
    (folder / "share").mkdir()
    if kind == "folder":
        (folder / "link").symlink_to("share")
        return folder / "link" / "team.duckdb"
    (folder / "anomaly.duckdb").symlink_to("share/team.duckdb")
    return folder / "anomaly.duckdb"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_a_link_points_to_is_published_and_the_link_stays(
    project: Project, tmp_path: Path, kind: str
) -> None:
    named, real = published_by_way_of(tmp_path, kind), tmp_path / "share" / "team.duckdb"
    first = project.warehouse.publish(named, SPEC, keep_snapshots=1)
    project.rows(CHANGE.format("second"))
    second = project.warehouse.publish(named, SPEC, keep_snapshots=1)
    kept = f"team.{first.snapshot_id[:12]}.duckdb"
    assert sorted(os.listdir(real.parent)) == sorted(["team.duckdb", kept])
    assert not real.is_symlink()
    assert (tmp_path / ("link" if kind == "folder" else "anomaly.duckdb")).is_symlink()
    assert ask(real, IDENTITY) == ask(named, IDENTITY) == [(["second"],)]
    assert not (real.parent / kept).is_symlink()
    assert ask(real.parent / kept, IDENTITY) == [(["first"],)]
    assert project.warehouse.differences(named) == []
    assert find_snapshot(named, first.snapshot_id) == real.parent / kept
    assert [each.snapshot_id for each in list_snapshots(named)] == [
        second.snapshot_id,
        first.snapshot_id,
    ]


def test_a_link_into_a_share_that_is_not_mounted_is_refused_and_no_folder_is_made(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "anomaly.duckdb").symlink_to("share/team.duckdb")
    with pytest.raises(OSError, match=r"anomaly\.duckdb is a symbolic link to .*: mount or make"):
        give(project, tmp_path / "anomaly.duckdb")
    assert not (tmp_path / "share").exists()
    assert (tmp_path / "anomaly.duckdb").is_symlink()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_progress_is_that_of_the_copy_that_is_being_written(
    project: Project, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = published_by_way_of(tmp_path, kind)
    monkeypatch.setattr(publishing, "copied_bytes", lambda path: copied_bytes(path) * 1000)
    copied = project.warehouse.copy_progress(named)
    assert copied is not None
    seen: list[int] = []
    sizes: list[int] = []
    whole = publishing.copy_file

    def watched(source: Path, unfinished: Path) -> None:
        sizes.append(source.stat().st_size // 1000)
        seen.append(copied[0]())
        whole(source, unfinished)
        seen.append(copied[0]())

    monkeypatch.setattr(publishing, "copy_file", watched)
    give(project, named)
    assert seen == [0, *sizes]
    assert copied[1] <= sizes[0]  # the publication itself adds a row of `snapshots`
    assert copied[0]() == 0


def test_a_second_target_gets_the_same_snapshot_and_no_second_note(
    published: Project, target: Path, first: Publication
) -> None:
    again = give(published, target.with_name("copy.duckdb"))
    assert again.written
    assert again.snapshot_id == first.snapshot_id
    assert published.column("SELECT snapshot_id FROM snapshots") == [first.snapshot_id]


def test_a_file_that_is_missing_differs(project: Project, target: Path) -> None:
    assert project.warehouse.differences(target) == [(str(target), "nothing is published")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("failing", "there_is_an_old_one"),
    [
        ("copy_file", False),
        ("copy_file", True),
        ("fsync", True),
        ("replace", True),
        ("rewrite", True),
    ],
)
def test_a_full_disk_leaves_what_is_published_as_it_was(
    project: Project,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    failing: str,
    there_is_an_old_one: bool,
) -> None:
    if there_is_an_old_one:
        give(project, target)
        project.rows(CHANGE.format("second"))
    before = identity(target) if there_is_an_old_one else None

    def fails(*arguments: object) -> None:
        if failing == "copy_file":
            Path(str(arguments[1])).write_bytes(b"half a copy")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if failing == "rewrite":
            patch.setattr(publishing, "_SMALL_BYTES", 0)
            patch.setattr(publishing, "write_compact", fails)
        else:
            patch.setattr(publishing if failing == "copy_file" else os, failing, fails)
        with pytest.raises(OSError, match="No space left"):
            give(project, target)

    assert os.listdir(target.parent) == (["anomaly.duckdb"] if there_is_an_old_one else [])
    assert (identity(target) if target.exists() else None) == before
    assert give(project, target).written
    assert project.warehouse.differences(target) == []


@pytest.mark.slow
def test_a_first_publication_needs_half_of_the_images(tmp_path: Path) -> None:
    """Use files of a checkout without Git LFS, which have their names, and no pixels."""
    project = Project.at(tmp_path)
    project.save(PICTURES)
    pictures = sorted((project.folder / "mvtec_ad").rglob("*.png"))
    kept = [path for path in pictures if "train" in path.parts and "bottle" in path.parts]
    for path in set(pictures) - set(kept):
        path.write_text("version https://git-lfs.github.com/spec/v1\n")
    project.list_files()
    project.build()
    project.refresh_all()
    target = project.folder / "first.duckdb"
    message = (
        r"^Nothing was published: 4 of 6 images of mvtec_ad cannot be decoded \(4 git_lfs_pointer; first: "
        r"bottle/test/crack/000\.png: The file is a Git LFS pointer, .* set MVTEC_AD_ROOT to a complete "
    )
    with pytest.raises(PublishRefusedError, match=message):
        project.warehouse.publish(target, SPEC)
    assert not target.exists()
    assert project.warehouse.publish(target, SPEC, allow_shrink=True).samples == 5
    # Later publications are compared with this one.
    assert project.warehouse.publish(target, SPEC).samples == 5
