"""Test snapshots: open an older one by id, and compare two."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from anomaly_assets.warehouse.file import keep as keeping
from anomaly_assets.warehouse.file.snapshots import (
    SnapshotDifference,
    diff_snapshots,
    find_snapshot,
    kept_path,
    kept_paths,
    list_snapshots,
)
from anomaly_assets.warehouse.publication import Publication
from anomaly_assets_tests.warehouse.project import SPEC, Project, mask, noise

CHANGE = "UPDATE image_tensors SET run_id = '{}'"


def give(project: Project, keep_snapshots: int = 5) -> Publication:
    return project.warehouse.publish(
        project.folder / "shared/anomaly.duckdb",
        SPEC,
        keep_snapshots=keep_snapshots,
    )


@pytest.fixture(scope="module")
def published_once(
    loaded_once: Project, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str]]:
    """Publish a database three times; return its folder, and its snapshot ids, oldest first."""
    folder = tmp_path_factory.mktemp("published")
    shutil.copyfile(loaded_once.warehouse.path, folder / "warehouse.duckdb")
    project = Project.at(folder, loaded_once.roots_folder)
    ids = []
    for run_id in ("first", "second", "third"):
        project.rows(CHANGE.format(run_id))
        ids.append(give(project).snapshot_id)
    return folder, ids


@pytest.fixture
def published(published_once: tuple[Path, list[str]], project: Project) -> tuple[Path, list[str]]:
    """Return a copy of this database, which `project` has published, and its snapshot ids."""
    folder, ids = published_once
    shutil.copytree(folder, project.folder, dirs_exist_ok=True)
    return project.folder / "shared/anomaly.duckdb", ids


@pytest.mark.slow
def test_each_snapshot_is_found_by_its_id_or_its_first_digits(
    published: tuple[Path, list[str]],
) -> None:
    database, ids = published
    listed = list_snapshots(database)
    assert [snapshot.snapshot_id for snapshot in listed] == ids[::-1]
    assert [snapshot.images for snapshot in listed] == [9, 9, 9]
    assert listed[0].path == database
    for run_id, snapshot_id in zip(("first", "second", "third"), ids, strict=True):
        path = find_snapshot(database, snapshot_id)
        assert path == find_snapshot(str(database), snapshot_id[:8].upper())
        with duckdb.connect(str(path), read_only=True) as connection:
            query = "SELECT DISTINCT run_id FROM anomaly.image_tensors"
            assert connection.execute(query).fetchall() == [(run_id,)]
    assert find_snapshot(database, ids[2]) == database


@pytest.mark.parametrize("unknown", ["ffffffffffff", "", "a", "%", "../anomaly"])
def test_an_unknown_id_is_answered_with_those_that_exist(
    published: tuple[Path, list[str]], unknown: str
) -> None:
    database, ids = published
    with pytest.raises(LookupError, match="ANOMALY_KEEP_SNAPSHOTS") as caught:
        find_snapshot(database, unknown)
    assert all(snapshot_id[:12] in str(caught.value) for snapshot_id in ids)


def test_a_database_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="make materialize"):
        list_snapshots(tmp_path / "anomaly.duckdb")


def test_only_as_many_older_ones_stay_as_were_asked_for(project: Project) -> None:
    ids = []
    for number in range(4):
        project.rows(CHANGE.format(number))
        ids.append(give(project, keep_snapshots=2).snapshot_id)
    folder = project.folder / "shared"
    kept = {f"anomaly.{snapshot_id[:12]}.duckdb" for snapshot_id in ids[1:3]}
    assert set(os.listdir(folder)) == {"anomaly.duckdb", *kept}
    (folder / "anomaly.backup.duckdb").write_bytes(b"somebody's own")
    assert not give(project, keep_snapshots=0).written
    assert set(os.listdir(folder)) == {"anomaly.duckdb", "anomaly.backup.duckdb"}


@pytest.mark.slow
def test_a_kept_file_is_what_was_published_to_the_last_byte(project: Project) -> None:
    database = project.folder / "shared/anomaly.duckdb"
    first = give(project)
    before = database.read_bytes()
    project.rows(CHANGE.format("later"))
    give(project)
    assert kept_path(database, first.snapshot_id).read_bytes() == before


def test_a_file_system_without_hard_links_gets_a_copy(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(keeping.os, "link", refuse)
    first = give(project)
    project.rows(CHANGE.format("later"))
    give(project)
    assert find_snapshot(project.folder / "shared/anomaly.duckdb", first.snapshot_id).exists()


@pytest.mark.slow
def test_what_a_killed_run_left_of_a_kept_snapshot_is_removed_by_the_next(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project.folder / "shared"
    first = give(project)
    kept = f"anomaly.{first.snapshot_id[:12]}.duckdb"
    (folder / f".{kept}.unfinished").write_bytes(b"of the first release")
    (folder / ".anomaly.backup.duckdb.unfinished").write_bytes(b"somebody's own")
    give(project)
    assert f".{kept}.unfinished" in os.listdir(folder)  # its writer may be alive
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 25 * 3600)
    give(project)
    assert set(os.listdir(folder)) == {"anomaly.duckdb", ".anomaly.backup.duckdb.unfinished"}


@pytest.mark.slow
def test_a_kept_snapshot_is_named_like_its_database_while_it_is_written(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that the next run finds the file of a killed run, though it keeps another snapshot."""
    give(project)
    seen: list[str] = []
    link = os.link

    def watched(source: Path, unfinished: Path) -> None:
        seen.append(unfinished.parent.name)
        link(source, unfinished)

    monkeypatch.setattr(keeping.os, "link", watched)
    project.rows(CHANGE.format("later"))
    give(project)
    assert re.fullmatch(r"\.anomaly\.duckdb\.[0-9a-f]{32}\.unfinished", seen[0])


def test_a_kept_snapshot_is_the_content_and_lies_beside_it_though_the_database_is_a_link(
    tmp_path: Path,
) -> None:
    (tmp_path / "share").mkdir()
    (tmp_path / "share" / "team.duckdb").write_bytes(b"content")
    link, snapshot_id = tmp_path / "anomaly.duckdb", "0123456789abcdef"
    link.symlink_to("share/team.duckdb")
    keeping.keep(link, snapshot_id)
    kept = tmp_path / "share" / "team.0123456789ab.duckdb"
    assert kept_path(link, snapshot_id) == kept
    assert kept_paths(link) == [kept]
    assert not kept.is_symlink()
    (tmp_path / "share" / "team.duckdb").unlink()
    assert kept.read_bytes() == b"content"


@pytest.mark.slow
def test_content_that_comes_back_is_not_kept_twice(project: Project) -> None:
    ids = []
    for run_id in ("first", "second", "first"):
        project.rows(CHANGE.format(run_id))
        ids.append(give(project).snapshot_id)
    assert ids[0] == ids[2]
    listed = list_snapshots(project.folder / "shared/anomaly.duckdb")
    assert [snapshot.snapshot_id for snapshot in listed] == [ids[0], ids[1]]


@pytest.mark.slow
def test_a_run_killed_before_the_swap_leaves_nothing_that_confuses(
    published: tuple[Path, list[str]], project: Project
) -> None:
    database, ids = published
    keeping.keep(database, ids[2])
    assert [each.snapshot_id for each in list_snapshots(database)] == ids[::-1]
    assert find_snapshot(database, ids[2]) == database
    assert not give(project).written
    assert not kept_path(database, ids[2]).exists()


def test_a_damaged_older_file_hides_no_other(published: tuple[Path, list[str]]) -> None:
    database, ids = published
    kept_path(database, ids[1]).write_bytes(b"no database")
    assert [each.snapshot_id for each in list_snapshots(database)] == [ids[2], ids[0]]


@pytest.mark.slow
def test_a_warehouse_of_an_older_version_gets_the_new_columns(project: Project) -> None:
    first = give(project)
    for column in ("code_version", "roots", "load_ids", "row_counts"):
        project.rows(f"ALTER TABLE snapshots DROP COLUMN {column}")
    for dataset in ("mvtec_ad", "dagm_2007"):
        project.rows(f"ALTER TABLE {dataset}.load_changes DROP COLUMN root_uri")
    project.rows(CHANGE.format("later"))
    project.refresh_all()
    second = give(project)
    query = "SELECT snapshot_id, code_version IS NULL, roots FROM anomaly.snapshots ORDER BY published_at"
    assert project.rows(query) == [
        (first.snapshot_id, True, None),
        (second.snapshot_id, False, {"dagm_2007": None, "mvtec_ad": None}),
    ]


@pytest.mark.slow
def test_a_file_of_an_older_version_is_listed(project: Project) -> None:
    first = give(project)
    database = project.folder / "shared/anomaly.duckdb"
    with duckdb.connect(str(database)) as connection:
        connection.execute("ALTER TABLE main.snapshots DROP COLUMN code_version")
    [snapshot] = list_snapshots(database)
    assert (snapshot.snapshot_id, snapshot.code_version) == (first.snapshot_id, None)


def test_the_difference_names_what_was_added_removed_changed_and_relabelled(tmp_path: Path) -> None:
    project = Project.at(tmp_path)
    folder = "mvtec_ad/bottle"
    good = {f"{folder}/train/good/{number:03}.png": noise(number) for number in range(4)}
    bad = {f"{folder}/test/crack/{number:03}.png": noise(9 + number) for number in range(2)}
    masks = {
        f"{folder}/ground_truth/crack/{number:03}_mask.png": mask((2, 2, 9, 9))
        for number in range(2)
    }
    dagm = {
        f"dagm_2007/Class1/Train/{number:04}.PNG": noise(20 + number, "L") for number in range(2)
    }
    project.save({**good, **bad, **masks, **dagm})
    labels = project.path("dagm_2007/Class1/Train/Label/Labels.txt")
    labels.write_text("1\n1\t0\t0000.PNG\t0\t0\n2\t0\t0001.PNG\t0\t0\n")

    def publish_all() -> str:
        project.list_files()
        project.build()
        project.refresh_all()
        return give(project).snapshot_id

    a = publish_all()
    project.path(f"{folder}/train/good/000.png").unlink()
    project.save(
        {
            f"{folder}/train/good/001.png": noise(101),
            f"{folder}/train/good/009.png": noise(109),
            f"{folder}/ground_truth/crack/001_mask.png": mask((2, 2, 12, 12)),
        }
    )
    shutil.copy2(labels, tmp_path / "labels")
    labels.write_text("1\n1\t0\t0000.PNG\t0\t0\n2\t1\t0001.PNG\t0\t0\n")
    b = publish_all()
    database = tmp_path / "shared/anomaly.duckdb"
    difference = diff_snapshots(a, b, database)
    assert difference == SnapshotDifference(
        added=["mvtec_ad/bottle/train/good/009.png"],
        removed=["mvtec_ad/bottle/train/good/000.png"],
        changed=["mvtec_ad/bottle/test/crack/001.png", "mvtec_ad/bottle/train/good/001.png"],
        relabelled={"dagm_2007/Class1/Train/0001.PNG": ("good", "anomalous/unspecified")},
    )
    assert str(difference) == "1 added, 1 removed, 2 changed, 1 relabelled"
    assert difference
    back = diff_snapshots(b, a, database)
    assert (back.added, back.removed) == (difference.removed, difference.added)
    assert not diff_snapshots(a, a, database)


def test_nothing_heavy_is_imported() -> None:
    heavy = "{'dagster', 'dlt', 'pyarrow', 'numpy', 'PIL', 'fsspec'}"
    imported = "anomaly_assets.warehouse.file.snapshots"
    program = f"import sys, {imported}; print(sorted({heavy} & set(sys.modules)))"
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert output.stdout == "[]\n"
