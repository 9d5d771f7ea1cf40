"""Test that corrections change labels, defect types and splits of exactly the content that they are for."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import duckdb
import pytest

from anomaly_assets.tables import checks
from anomaly_assets.tables.ddl import ensure_tables
from anomaly_assets.tables.source_datasets import sample_counts
from anomaly_assets.warehouse.content import content_id
from anomaly_assets_tests.curation.corrected import correct, details, sha256, statuses
from anomaly_assets_tests.warehouse.project import Project, noise

GOOD = "mvtec_ad/bottle/train/good/000.png"
OTHER = "mvtec_ad/bottle/train/good/001.png"
CRACK = "mvtec_ad/bottle/test/crack/000.png"

ROW = "SELECT label, label_index, defect_type, split, label_source FROM {} WHERE image_id = ?"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Load three images once."""
    project = Project.at(tmp_path_factory.mktemp("loaded"))
    project.save({GOOD: noise(1), OTHER: noise(2), CRACK: noise(3)})
    project.list_files()
    project.build()
    project.refresh_all()
    return project.folder


@pytest.fixture
def project(loaded: Path, tmp_path: Path) -> Project:
    """Copy the warehouse and the files, with their times."""
    return Project.at(shutil.copytree(loaded, tmp_path / "project"))


def effective(project: Project, image_id: str) -> tuple[object, ...]:
    (row,) = project.rows(ROW.format("effective_images"), [image_id])
    return row


def run(project: Project) -> None:
    """List and decode, as the steps around the corrections do."""
    project.list_files()
    project.build()


@pytest.mark.slow
def test_a_label_is_corrected_and_the_word_of_the_source_stays_in_images(project: Project) -> None:
    before = project.rows("FROM images ORDER BY image_id")
    correct(project, f"{GOOD},,label,anomalous,scratch at the rim,ada,")
    assert effective(project, GOOD) == ("anomalous", 1, "unspecified", "train", "correction")
    assert project.rows("FROM images ORDER BY image_id") == before
    sample = "SELECT label, label_index, defect_type FROM samples WHERE image_id = ?"
    assert project.rows(sample, [GOOD]) == [("anomalous", 1, "unspecified")]
    assert statuses(project) == ["applied"]
    project.refresh_all()
    good = "SELECT sum(images) FROM dataset_summary WHERE label = 'good'"
    assert project.column(good) == [1]
    assert project.column("SELECT images FROM pixel_statistics") == [1]


@pytest.mark.parametrize(
    ("lines", "row"),
    [
        (["label,good"], ("good", 0, None, "test", "correction")),
        (["label,unknown"], ("unknown", None, None, "test", "correction")),
        (["defect_type,dent"], ("anomalous", 1, "dent", "test", "path")),
        (["split,train"], ("anomalous", 1, "crack", "train", "path")),
        (["label,anomalous"], ("anomalous", 1, "crack", "test", "correction")),
        (["label,good", "label,OK"], ("good", 0, None, "test", "correction")),
        (["exclude,false"], ("anomalous", 1, "crack", "test", "path")),
    ],
)
def test_fields_of_an_anomalous_image(
    project: Project, lines: list[str], row: tuple[object, ...]
) -> None:
    correct(project, *(f"{CRACK},,{line},,," for line in lines))
    assert effective(project, CRACK) == row
    assert set(statuses(project)) == {"applied"}


@pytest.mark.slow
def test_a_defect_type_needs_an_anomalous_label(project: Project) -> None:
    correct(project, f"{GOOD},,defect_type,dent,,,")
    assert statuses(project) == ["impossible_value"]
    assert details(project) == [f"{GOOD} is not anomalous: correct its label as well"]
    assert effective(project, GOOD) == ("good", 0, None, "train", "path")
    correct(project, f"{GOOD},,defect_type,dent,,,", f"{GOOD},,label,NG,,,")
    assert statuses(project) == ["applied", "applied"]
    assert effective(project, GOOD) == ("anomalous", 1, "dent", "train", "correction")


@pytest.mark.slow
def test_an_excluded_image_stays_in_images_and_leaves_everything_else(project: Project) -> None:
    correct(project, f"{GOOD},,exclude,true,,,")
    project.refresh_all()
    for table, rows in (("images", 3), ("effective_images", 2), ("samples", 2)):
        assert project.column(f"SELECT count(*) FROM {table}") == [rows]
    assert project.column("SELECT sum(images) FROM dataset_summary") == [2]
    with project.warehouse.connect() as connection:
        assert sample_counts(connection) == {"mvtec_ad": 3}  # no loss


def test_two_lines_with_different_values_are_a_conflict_and_neither_is_applied(
    project: Project,
) -> None:
    correct(project, f"{GOOD},,label,anomalous,,,", f"{GOOD},,label,unknown,,,")
    assert statuses(project) == ["conflict", "conflict"]
    assert effective(project, GOOD) == ("good", 0, None, "train", "path")


@pytest.mark.slow
def test_removing_a_line_brings_the_word_of_the_source_back(project: Project) -> None:
    with project.warehouse.connect() as connection:
        before = content_id(connection)
    correct(project, f"{GOOD},,label,anomalous,,,")
    with project.warehouse.connect() as connection:
        assert content_id(connection) != before
    correct(project)
    assert effective(project, GOOD) == ("good", 0, None, "train", "path")
    with project.warehouse.connect() as connection:
        assert content_id(connection) == before


@pytest.mark.slow
def test_a_correction_is_not_applied_to_a_replaced_file(project: Project) -> None:
    line = f"{GOOD},,label,anomalous,,,"
    correct(project, line)
    project.save({GOOD: noise(9)})
    run(project)
    correct(project, line)
    assert statuses(project) == ["other_content"]
    assert sha256(project.path(GOOD)) in details(project)[0]
    assert effective(project, GOOD) == ("good", 0, None, "train", "path")
    project.save({GOOD: noise(1)})
    run(project)
    assert statuses(project) == ["applied"]


@pytest.mark.slow
@pytest.mark.parametrize("edited", [",,label,anomalous,another reason,,", ",,label,unknown,,,"])
def test_an_edited_or_restored_line_keeps_its_content(project: Project, edited: str) -> None:
    correct(project, f"{GOOD},,label,anomalous,,,")
    correct(project)
    project.save({GOOD: noise(9)})
    run(project)
    correct(project, f"{GOOD}{edited}")
    assert statuses(project) == ["other_content"]
    correct(project, f"{GOOD},{sha256(project.path(GOOD))},label,anomalous,,,")
    assert statuses(project) == ["applied"]


@pytest.mark.slow
def test_a_file_replaced_in_the_run_that_reads_the_line_first_is_another_content(
    project: Project,
) -> None:
    project.save({GOOD: noise(9)})
    project.list_files()
    correct(project, f"{GOOD},,label,anomalous,,,")
    project.build()
    assert statuses(project) == ["other_content"]


def test_a_line_for_a_new_image_is_applied_once_that_version_is_decoded(project: Project) -> None:
    new = "mvtec_ad/bottle/test/good/000.png"
    project.save({new: noise(5)})
    project.list_files()
    correct(project, f"{new},,label,anomalous,,,")
    assert statuses(project) == ["not_decoded"]
    project.build()
    assert statuses(project) == ["applied"]
    assert project.column("SELECT pinned_sha256 FROM correction_pins") == [
        sha256(project.path(new))
    ]


@pytest.mark.slow
def test_a_new_image_that_is_replaced_before_it_is_decoded_is_never_corrected(
    project: Project,
) -> None:
    new = "mvtec_ad/bottle/test/good/000.png"
    project.save({new: noise(5)})
    project.list_files()
    correct(project, f"{new},,label,anomalous,,,")
    project.save({new: noise(6)})
    run(project)
    correct(project, f"{new},,label,anomalous,,,")
    assert statuses(project) == ["other_content"]


@pytest.mark.slow
def test_a_file_that_is_newer_than_the_correction_is_another_content(project: Project) -> None:
    os.utime(project.path(GOOD), (1_700_000_000, 1_700_000_000))
    run(project)
    correct(
        project,
        f"{GOOD},,label,anomalous,,,2023-11-14T22:13:19Z",
        f"{GOOD},,split,test,,,2023-11-14T22:13:21Z",
    )
    assert statuses(project) == ["other_content", "applied"]


@pytest.mark.slow
def test_a_content_is_corrected_wherever_it_is(project: Project) -> None:
    line = f",{sha256(project.path(GOOD))},label,anomalous,,,"
    correct(project, line)
    moved = "mvtec_ad/bottle/train/good/copy.png"
    project.path(GOOD).rename(project.path(moved))
    project.save({GOOD: noise(9), "mvtec_ad/bottle/test/good/a.png": noise(1)})
    run(project)
    assert effective(project, GOOD)[0] == "good"
    assert effective(project, moved)[0] == "anomalous"
    assert effective(project, "mvtec_ad/bottle/test/good/a.png")[0] == "anomalous"
    assert project.rows("SELECT status, images FROM corrections") == [("applied", 2)]
    project.path(moved).unlink()
    project.path("mvtec_ad/bottle/test/good/a.png").unlink()
    run(project)
    assert statuses(project) == ["unknown_image"]


@pytest.mark.slow
def test_a_line_with_both_must_match_both(project: Project) -> None:
    content = sha256(project.path(GOOD))
    correct(
        project, f"{GOOD},{content},label,anomalous,,,", f"{OTHER},{content},label,anomalous,,,"
    )
    assert statuses(project) == ["applied", "other_content"]
    project.path(GOOD).rename(project.path("mvtec_ad/bottle/train/good/moved.png"))
    run(project)
    assert statuses(project) == ["unknown_image", "other_content"]


def test_an_unknown_image_that_appears_later_is_another_content(project: Project) -> None:
    new = "mvtec_ad/bottle/test/good/000.png"
    line = f"{new},,label,anomalous,,,"
    correct(project, line)
    assert statuses(project) == ["unknown_image"]
    project.save({new: noise(5)})
    run(project)
    correct(project, line)
    assert statuses(project) == ["other_content"]


@pytest.mark.slow
def test_a_line_waits_for_a_source_dataset_that_is_not_loaded(project: Project) -> None:
    new = "dagm_2007/Class1/Train/0001.PNG"
    line = f"{new},,label,anomalous,,,"
    correct(project, line)
    assert statuses(project) == ["unknown_image"]
    project.save({new: noise(5, "L")})
    project.list_files()
    correct(project, line)
    project.build()
    assert statuses(project) == ["applied"]


def test_the_check_names_every_line_that_is_not_applied(project: Project) -> None:
    correct(
        project,
        f"{GOOD},,label,anomalous,,,",
        "mvtec_ad/nowhere.png,,label,good,,,",
        f"{OTHER},,label,bent,,,",
    )
    check = next(each for each in checks.LABEL_CHECKS if each.name == "corrections_are_applied")
    with project.warehouse.connect() as connection:
        ((_, finding),) = checks.evaluate(connection, check)
    assert not check.blocking
    assert finding.shown == [
        (
            "corrections.csv:3",
            "mvtec_ad/nowhere.png: unknown_image (label=good): there is no image with this image_id",
        ),
        (
            "corrections.csv:4",
            f"{OTHER}: impossible_value (label=bent): bent is no label: use good, anomalous or unknown",
        ),
    ]


@pytest.mark.slow
def test_lines_that_did_not_change_are_not_written_again(project: Project) -> None:
    lines = (f"{GOOD},,label,anomalous,,,", f",{'ab' * 32},split,test,,,")
    correct(project, *lines)
    rows = project.rows("FROM correction_lines ORDER BY line")
    row_ids = "SELECT rowid FROM correction_lines ORDER BY line"
    before = project.column(row_ids)
    correct(project, *lines)
    assert project.rows("FROM correction_lines ORDER BY line") == rows
    assert project.column(row_ids) == before
    correct(project, "", *lines)  # one line further down
    moved = project.rows("SELECT line, first_seen_at FROM correction_lines ORDER BY line")
    assert moved == [(row[1] + 1, row[-1]) for row in rows]


def test_without_corrections_the_digest_has_no_trace_of_them(project: Project) -> None:
    with project.warehouse.connect() as connection:
        before = content_id(connection)
        for name in ("correction_lines", "correction_pins"):
            connection.execute(f"DROP TABLE {name} CASCADE")
        ensure_tables(connection)
        assert content_id(connection) == before


def test_a_warehouse_of_an_earlier_release_gets_the_tables_and_views(project: Project) -> None:
    with project.warehouse.connect() as connection:
        for view in ("corrections", "effective_images", "corrected_fields"):
            connection.execute(f"DROP VIEW {view}")
        connection.execute("CREATE VIEW effective_images AS FROM images")
        connection.execute("DROP TABLE correction_lines")
        connection.execute("DROP TABLE correction_pins")
        ensure_tables(connection)
        assert connection.execute("SELECT count(*) FROM samples").fetchall() == [(3,)]
        assert connection.execute("FROM corrections").fetchall() == []
    correct(project, f"{GOOD},,exclude,true,,,")
    assert project.column("SELECT count(*) FROM samples") == [2]


def test_labels_agree_is_settled_by_a_correction(project: Project) -> None:
    with project.warehouse.connect() as connection:
        connection.execute(
            f"UPDATE mvtec_ad.images SET table_label_index = 1 WHERE image_id = '{GOOD}'"
        )
    check = next(each for each in checks.LABEL_CHECKS if each.name == "labels_agree")

    def count(connection: duckdb.DuckDBPyConnection) -> int:
        ((_, finding),) = checks.evaluate(connection, check)
        return finding.count

    with project.warehouse.connect() as connection:
        assert count(connection) == 1
    correct(project, f"{GOOD},,label,anomalous,,,")
    with project.warehouse.connect() as connection:
        assert count(connection) == 0
