"""Publishing: a complete and compact snapshot, swapped in atomically."""

from __future__ import annotations

import ast
import os
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest

from anomaly_assets.errors import WarehouseError, rerun_with
from anomaly_assets.tables.registry import TABLES
from anomaly_assets.tensor_spec import TensorSpec
from anomaly_assets.warehouse.file import publish as publishing
from anomaly_assets.warehouse.file.copy_file import copied_bytes
from anomaly_assets.warehouse.file.snapshots import find_snapshot, list_snapshots
from anomaly_assets.warehouse.publication import Publication, PublishRefusedError
from anomaly_assets_tests.disk import record_calls
from anomaly_assets_tests.warehouse.other_process import HAS_IT_OPEN, other_process
from anomaly_assets_tests.warehouse.project import SPEC, Project

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
            connection.execute(f"SELECT '{t}', * FROM {name}.{t} AS row ORDER BY row::VARCHAR").fetchall()
            for name in ("warehouse", "published")
            for t in tables
        ]  # fmt: skip


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


def test_the_only_sample_of_a_source_dataset_does_not_leave_without_consent(
    project: Project, target: Path
) -> None:
    def delete(condition: str) -> None:
        with project.warehouse.connect() as connection:
            for table in ("mvtec_ad.images", "image_tensors"):
                connection.execute(f"DELETE FROM {table} WHERE {condition}")

    only = "mvtec_ad/bottle/train/good/000.png"
    delete(f"image_id LIKE 'mvtec_ad/%' AND image_id <> '{only}'")
    give(project, target)
    delete(f"image_id = '{only}'")
    before = identity(target)
    with pytest.raises(PublishRefusedError, match="would be lost: mvtec_ad would have 0 of 1"):
        give(project, target)
    assert identity(target) == before


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


def test_an_empty_warehouse_does_not_replace_samples_without_consent(
    published: Project, target: Path
) -> None:
    with published.warehouse.connect() as connection:
        for table in ("mvtec_ad.images", "dagm_2007.images", "image_tensors"):
            connection.execute(f"DELETE FROM {table}")
    before = identity(target)
    with pytest.raises(PublishRefusedError) as caught:
        give(published, target)
    assert str(caught.value) == (
        f"Nothing was published: {target} holds 9 samples, and the warehouse has none. Materialize all "
        "assets, then publish again. If you removed them on purpose, "
        + rerun_with("published_database", "allow_shrink")
    )
    assert identity(target) == before
    assert published.warehouse.publish(target, SPEC, allow_shrink=True).samples == 0
    assert give(published, target).written is False  # nothing over nothing is no loss


def test_a_single_sample_is_not_replaced_by_none_without_consent(
    project: Project, target: Path
) -> None:
    def keep(image_id: str) -> None:
        with project.warehouse.connect() as connection:
            for table in ("mvtec_ad.images", "dagm_2007.images", "image_tensors"):
                connection.execute(f"DELETE FROM {table} WHERE image_id <> ?", [image_id])

    keep("mvtec_ad/bottle/train/good/000.png")
    assert give(project, target).samples == 1
    keep("none")
    before = identity(target)
    with pytest.raises(PublishRefusedError, match="holds 1 samples, and the warehouse has none"):
        give(project, target)
    assert identity(target) == before


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


def test_everything_in_the_warehouse_is_published(published: Project, target: Path) -> None:
    rows = everything(published, target)
    assert rows[: len(rows) // 2] == rows[len(rows) // 2 :]
    assert published.warehouse.differences(target) == []


def test_publishing_what_is_already_published_writes_nothing(
    published: Project, target: Path, first: Publication
) -> None:
    before = identity(target)
    second = give(published, target)
    assert not second.written
    assert (second.snapshot_id, second.samples) == (first.snapshot_id, 9)
    assert second.details["file_bytes"] == target.stat().st_size
    assert identity(target) == before


@pytest.mark.parametrize(
    "change",
    [
        CHANGE.format("another"),
        "UPDATE image_tensors SET mask_area_fraction = 0 WHERE image_id LIKE '%crack%'",
        "UPDATE mvtec_ad.images SET defect_type = 'cut' WHERE defect_type = 'crack'",
        "INSERT INTO dagm_2007.stray_files VALUES ('a.txt', 'unrecognised_path', NULL, '1.5')",
        "UPDATE image_tensors SET mask_tensor = NULL, mask_box = NULL WHERE image_id LIKE '%hole%'",
    ],
)
def test_a_changed_row_is_published(
    published: Project, target: Path, first: Publication, change: str
) -> None:
    published.rows(change)
    second = give(published, target)
    assert second.written
    assert second.snapshot_id != first.snapshot_id
    rows = everything(published, target)
    assert rows[: len(rows) // 2] == rows[len(rows) // 2 :]


def test_a_removed_image_leaves_what_is_published(published: Project, target: Path) -> None:
    published.rows("DELETE FROM mvtec_ad.images WHERE relative_path LIKE 'carpet/test/%'")
    published.build()
    assert give(published, target).samples == 8
    assert ask(target, "SELECT count(*) FROM anomaly.samples") == [(8,)]


@pytest.mark.parametrize(
    "before", ["DELETE FROM dataset_summary", "UPDATE dataset_summary SET images = 0"]
)
def test_a_summary_that_was_missing_or_out_of_date_is_published_when_it_is_made(
    project: Project, target: Path, before: str
) -> None:
    """As when tensors are materialized and published alone, and the summaries only later."""
    project.rows(before)
    give(project, target)
    project.refresh_all()
    summary = project.rows("FROM dataset_summary ORDER BY ALL")
    assert [row[5] for row in summary] == [1, 1, 1, 1, 1, 2, 1, 1]

    give(project, target)

    assert project.warehouse.differences(target) == []
    assert ask(target, "FROM anomaly.dataset_summary ORDER BY ALL") == summary


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


def test_what_a_killed_writer_left_behind_does_not_get_into_a_new_snapshot(
    published: Project, target: Path
) -> None:
    delete = "DELETE FROM image_tensors"
    with other_process(HAS_IT_OPEN, str(target), "read_write", delete) as person:
        person.kill()
    published.rows(CHANGE.format("second"))
    assert give(published, target).written
    assert ask(target, "SELECT count(*) FROM anomaly.samples") == [(9,)]


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


@pytest.mark.parametrize(
    ("offence", "message"),
    [
        (
            "DELETE FROM image_tensors WHERE image_id LIKE '%crack%'",
            r"images_have_a_tensor_or_a_rejection \(1, first mvtec_ad/bottle/test/crack/000.png\)",
        ),
        (
            "INSERT INTO mvtec_ad.images FROM mvtec_ad.images WHERE category = 'carpet'",
            r"image_ids_are_unique \(2, first mvtec_ad/carpet/test/hole/000.png\)",
        ),
        (
            "UPDATE image_tensors SET width = 7 WHERE image_id LIKE 'dagm%'",
            r"tensors_have_the_configured_shape \(3, first dagm_2007/Class1/Test/0003.PNG\)",
        ),
    ],
)
def test_a_failing_blocking_check_refuses_and_leaves_the_old_snapshot(
    published: Project, target: Path, offence: str, message: str
) -> None:
    before = identity(target)
    published.rows(offence)
    with pytest.raises(PublishRefusedError, match=message):
        give(published, target)
    assert identity(target) == before
    assert os.listdir(target.parent) == ["anomaly.duckdb"]
    assert published.column("SELECT count(*) FROM snapshots") == [1]


def test_tensors_of_another_shape_than_the_configured_one_are_not_published(
    project: Project, target: Path
) -> None:
    with pytest.raises(PublishRefusedError, match=r"tensors_have_the_configured_shape \(9, "):
        project.warehouse.publish(target, TensorSpec(8, 6, 1))
    assert not target.exists()


def test_nothing_of_the_pipeline_is_published(project: Project, target: Path) -> None:
    project.rows("CREATE SCHEMA IF NOT EXISTS mvtec_ad_staging")
    project.rows("CREATE TABLE mvtec_ad_staging.copies AS SELECT 1 AS number")
    give(project, target)
    query = "SELECT DISTINCT schema_name FROM duckdb_columns() WHERE NOT internal ORDER BY ALL"
    assert ask(target, query) == [("dagm_2007",), ("main",), ("mvtec_ad",)]
    assert project.column("SELECT number FROM mvtec_ad_staging.copies") == [1]


def test_nothing_is_left_beside_the_published_file(project: Project, target: Path) -> None:
    target.parent.mkdir()
    left = target.with_name(f".anomaly.duckdb.{'0' * 32}.unfinished")
    left.mkdir()
    for name in ("lock", "content", "content.wal"):
        (left / name).write_bytes(b"of a run that was killed")
    give(project, target)
    assert os.listdir(target.parent) == ["anomaly.duckdb"]


def test_a_run_that_has_nothing_to_publish_removes_what_a_killed_one_left(
    published: Project, target: Path
) -> None:
    """As when the kill came between the rename and the end."""
    target.with_name(f".anomaly.duckdb.{'0' * 32}.unfinished").mkdir()
    assert not give(published, target).written
    assert os.listdir(target.parent) == ["anomaly.duckdb"]


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


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_progress_is_that_of_the_copy_that_is_being_written(
    project: Project, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = published_by_way_of(tmp_path, kind)
    monkeypatch.setattr(publishing, "copied_bytes", lambda path: copied_bytes(path) * 1000)
    copied = project.warehouse.copy_progress(named)
    assert copied is not None
    size = project.warehouse.path.stat().st_size
    seen: list[int] = []
    whole = publishing.copy_file

    def watched(source: Path, unfinished: Path) -> None:
        seen.append(copied[0]())
        whole(source, unfinished)
        seen.append(copied[0]())

    monkeypatch.setattr(publishing, "copy_file", watched)
    give(project, named)
    assert seen == [0, size // 1000]
    assert copied[1] == size // 1000
    assert copied[0]() == 0


def test_every_publication_is_noted_in_the_warehouse_and_in_the_file(
    published: Project, target: Path, first: Publication
) -> None:
    published.rows(CHANGE.format("second"))
    second = give(published, target, "a later run")
    query = (
        "SELECT snapshot_id, images, tensors, rejected, transform, run_id "
        "FROM snapshots ORDER BY published_at"
    )
    expected = [
        (first.snapshot_id, 9, 9, 0, "lanczos-8x6x3", "a run"),
        (second.snapshot_id, 9, 9, 0, "lanczos-8x6x3", "a later run"),
    ]
    assert published.rows(query) == expected
    assert ask(target, query) == expected
    newest = ask(target, "SELECT max(published_at) FROM snapshots")[0][0]
    assert 0 <= (datetime.now(timezone.utc) - newest).total_seconds() < 600


def test_a_second_target_gets_the_same_snapshot_and_no_second_note(
    published: Project, target: Path, first: Publication
) -> None:
    again = give(published, target.with_name("copy.duckdb"))
    assert again.written
    assert again.snapshot_id == first.snapshot_id
    assert published.column("SELECT snapshot_id FROM snapshots") == [first.snapshot_id]


def test_counts_that_differ_are_named(project: Project, target: Path) -> None:
    assert project.warehouse.differences(target) == [(str(target), "nothing is published")]
    give(project, target)
    project.rows("DELETE FROM image_tensors WHERE image_id LIKE '%crack%'")
    assert project.warehouse.differences(target) == [
        ("image_tensors", "9 published, 8 in the warehouse"),
        ("samples", "9 published, 8 in the warehouse"),
    ]


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
