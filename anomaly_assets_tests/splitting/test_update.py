"""Test that the file and the warehouse agree on an assignment, and that nothing assigned moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from anomaly_assets.splitting.assignment_file import AssignmentError, read, text_of, write
from anomaly_assets.splitting.plan import Plan
from anomaly_assets.splitting.update import names_of, remove, update, warnings_of
from anomaly_assets.tables.checks import SPLIT_CHECKS, evaluate
from anomaly_assets.tables.ddl import ensure_tables, row_counts
from anomaly_assets.tables.source_datasets import stored_names
from anomaly_assets.warehouse.content import content_id
from anomaly_assets_tests.splitting.near import add_near_duplicates
from anomaly_assets_tests.warehouse.project import SPEC, Project

PLAN = Plan(val=0.5)
TRAINING = 5
"""Training images of the project; the other four are test images."""


@pytest.fixture
def connection(project: Project) -> Iterator[duckdb.DuckDBPyConnection]:
    with project.warehouse.connect() as connection:
        ensure_tables(connection)
        yield connection


def folds(connection: duckdb.DuckDBPyConnection, name: str = "v1") -> dict[str, str]:
    query = "SELECT image_id, fold FROM splits WHERE assignment = ?"
    return dict(connection.execute(query, [name]).fetchall())


@pytest.mark.slow
def test_training_images_are_assigned_and_test_images_stay_test_images(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    made = update(connection, tmp_path / "splits", "v1", PLAN, makes_file=True)
    assert made.newcomers == sum(made.folds.values()) == TRAINING
    found = folds(connection)
    assert len(found) == 9
    for image_id, fold in found.items():
        assert (fold == "test") == ("/test/" in image_id or "/Test/" in image_id)
    plan, lines = read(tmp_path / "splits/v1.csv")
    assert plan == PLAN
    assert {line.image_id: line.fold for line in lines.values()} == {
        image_id: fold for image_id, fold in found.items() if fold != "test"
    }


def test_the_same_file_gives_the_same_split_in_another_warehouse(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    update(connection, tmp_path, "v1", Plan(val=0.5, by=("category",)), makes_file=True)
    before, text = folds(connection), (tmp_path / "v1.csv").read_text()
    connection.execute("DELETE FROM assignments; DELETE FROM assigned_contents")
    assert folds(connection) == {}
    assert names_of(connection, tmp_path) == ["v1"]
    again = update(connection, tmp_path, "v1")
    assert (again.newcomers, folds(connection)) == (0, before)
    assert (tmp_path / "v1.csv").read_text() == text


def test_newcomers_are_added_to_the_file_and_to_the_warehouse(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    update(connection, tmp_path, "v1", PLAN, makes_file=True)
    before, text = folds(connection), (tmp_path / "v1.csv").read_text()
    for table in ("facts", "image_tensors"):
        connection.execute(
            f"UPDATE {table} SET content_sha256 = sha256(content_sha256) "
            "WHERE image_id = 'mvtec_ad/bottle/train/good/000.png'"
        )
    made = update(connection, tmp_path, "v1")
    assert made.newcomers == 1
    assert folds(connection) == before  # rewritten under its name
    after = (tmp_path / "v1.csv").read_text()
    assert [line for line in after.splitlines() if line in text.splitlines()] == text.splitlines()
    assert after.count("same_file") == 1


def test_without_its_file_an_assignment_goes_on_in_the_warehouse_alone(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    update(connection, tmp_path, "v1", PLAN, makes_file=True)
    text = (tmp_path / "v1.csv").read_text()
    made = update(connection, tmp_path / "elsewhere", "v1")
    assert (made.path, made.newcomers) == (None, 0)
    assert not (tmp_path / "elsewhere").exists()
    update(connection, tmp_path / "elsewhere", "v1", makes_file=True)
    assert (tmp_path / "elsewhere/v1.csv").read_text() == text


def test_the_file_decides_and_lines_that_only_the_warehouse_has_are_added_to_it(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    update(connection, tmp_path, "v1", PLAN, makes_file=True)
    path, before = tmp_path / "v1.csv", folds(connection)
    plan, lines = read(path)
    first, _, *others = sorted(lines.values(), key=lambda line: line.content)
    other_fold = {"train": "val", "val": "train"}[first.fold]
    edited = text_of(plan, [first, *others]).replace(
        f"{first.content},{first.fold}", f"{first.content},{other_fold}"
    )
    path.write_text(edited)
    made = update(connection, tmp_path, "v1")
    assert (made.newcomers, made.by_file) == (0, 1)
    assert folds(connection) == before | {first.image_id: other_fold}
    assert read(path)[1].keys() == lines.keys()


def test_a_file_that_cannot_be_written_is_named_and_the_warehouse_keeps_the_lines(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "v1.csv", PLAN, [])

    def refuse(*_: object) -> None:
        raise OSError("Read-only file system")

    monkeypatch.setattr("anomaly_assets.splitting.assignment_file.write", refuse)
    made = update(connection, tmp_path, "v1")
    assert (made.newcomers, made.unwritten) == (TRAINING, "Read-only file system")
    assert len(folds(connection)) == 9
    with pytest.raises(OSError, match="Read-only"):
        update(connection, tmp_path, "v2", PLAN, makes_file=True)
    assert names_of(connection, tmp_path) == ["v1"]


def test_other_options_are_refused(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    update(connection, tmp_path, "v1", PLAN, makes_file=True)
    with pytest.raises(AssignmentError, match=r"has the options --seed 0 --val 0\.5\. "):
        update(connection, tmp_path, "v1", Plan(val=0.2), makes_file=True)
    with pytest.raises(AssignmentError, match="no assignment 'v2': give a share, such as --val"):
        update(connection, tmp_path, "v2", makes_file=True)
    with pytest.raises(
        AssignmentError,
        match=r"^--group camera: no image has a value of it. Columns: .*category, .*Attributes: none\.$",
    ):
        update(connection, tmp_path, "v2", Plan(val=0.2, group="camera"), makes_file=True)
    with pytest.raises(AssignmentError, match="splits validation is decoded, so there is nothing"):
        update(connection, tmp_path, "v2", Plan(val=0.2, taken=("validation",)), makes_file=True)
    with pytest.raises(AssignmentError, match=r"--name '\.\./v2'"):
        update(connection, tmp_path, "../v2", PLAN, makes_file=True)
    assert names_of(connection, tmp_path) == ["v1"]


def test_test_images_are_assigned_on_request(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    plan = Plan(folds=2, by=("label",), taken=("train", "test"))
    update(connection, tmp_path, "v1", plan, makes_file=True)
    found = folds(connection)
    assert len(found) == 9
    assert {*found.values()} == {"0", "1"}


def test_near_duplicates_and_attributes_keep_images_together(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    train = "mvtec_ad/bottle/train/good/00{}.png"
    carpet = "mvtec_ad/carpet/train/good/000.png"
    add_near_duplicates(connection, [(train.format(0), carpet, 0.01)])
    connection.execute(
        """
        CREATE OR REPLACE VIEW effective_images AS
        SELECT COLUMNS(name -> name <> 'attributes'),
            MAP {'serial no': CASE category WHEN 'bottle' THEN 'A' WHEN 'Class1' THEN filename END}
                AS attributes
        FROM images
        """
    )
    for seed in range(8):
        name = f"v{seed}"
        update(connection, tmp_path, name, Plan(seed=seed, val=0.5, group="serial no"))
        found = folds(connection, name)
        assert found[train.format(0)] == found[train.format(1)] == found[carpet]
    groups = connection.execute("SELECT DISTINCT group_value FROM assigned_contents").fetchall()
    assert ("mvtec_ad/A",) in groups


def test_a_copy_of_a_test_image_among_the_training_images_is_a_test_image(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    test, train = "mvtec_ad/bottle/test/good/000.png", "mvtec_ad/bottle/train/good/000.png"
    for table in ("facts", "image_tensors"):
        connection.execute(
            f"UPDATE {table} SET content_sha256 = "
            f"(SELECT content_sha256 FROM {table} WHERE image_id = ?) WHERE image_id = ?",
            [test, train],
        )
    update(connection, tmp_path, "v1", PLAN)
    assert folds(connection)[train] == folds(connection)[test] == "test"


def test_a_removed_assignment_is_gone(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    before = content_id(connection)
    update(connection, tmp_path, "v1", PLAN, makes_file=True)
    assert content_id(connection) != before
    assert remove(connection, tmp_path, "v1") == TRAINING
    assert not (tmp_path / "v1.csv").exists()
    assert row_counts(connection, ["assignments", "assigned_contents", "splits"]) == {
        "assignments": 0,
        "assigned_contents": 0,
        "splits": 0,
    }
    assert content_id(connection) == before
    with pytest.raises(AssignmentError, match="no assignment 'v1'. Existing assignments: none."):
        remove(connection, tmp_path, "v1")


def test_removing_an_assignment_leaves_a_file_that_is_none(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    update(connection, tmp_path, "v1", PLAN, makes_file=True)
    (tmp_path / "v1.csv").write_text("not,ours\n1,2\n")
    assert remove(connection, tmp_path, "v1") == TRAINING
    assert (tmp_path / "v1.csv").read_text() == "not,ours\n1,2\n"


def test_an_unchanged_assignment_writes_nothing(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    update(connection, tmp_path, "v1", PLAN, makes_file=True)
    before, connection_ = (tmp_path / "v1.csv").stat(), _Writes(connection)
    update(connection_, tmp_path, "v1", PLAN, makes_file=True)  # type: ignore[arg-type]
    after = (tmp_path / "v1.csv").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert connection_.written == []


class _Writes:
    """Connection that records the statements that write."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.written: list[str] = []

    def execute(self, query: str, *parameters: object) -> duckdb.DuckDBPyConnection:
        if query.split()[0] not in ("SELECT", "FROM"):
            self.written.append(query)
        return self._connection.execute(query, *parameters)


def test_a_warehouse_without_the_tables_gets_them_and_keeps_its_id(project: Project) -> None:
    """Test a warehouse that an earlier release made."""
    with project.warehouse.connect() as connection:
        before = content_id(connection)
        for schema in ("anomaly", "main"):
            connection.execute(f"DROP VIEW {schema}.splits")
        for table in ("assignments", "assigned_contents"):
            connection.execute(f"DROP VIEW anomaly.{table}; DROP TABLE {table}")
        assert content_id(connection) == before  # a copy reads it as it is
        ensure_tables(connection)
        assert content_id(connection) == before
        assert folds(connection) == {}
        assert stored_names(connection)


@pytest.mark.slow
def test_what_is_published_has_the_assignment(project: Project, tmp_path: Path) -> None:
    published = tmp_path / "anomaly.duckdb"
    first = project.warehouse.publish(published, SPEC)
    with project.warehouse.connect() as connection:
        update(connection, tmp_path, "v1", PLAN)
    second = project.warehouse.publish(published, SPEC)
    assert second.written
    assert first.snapshot_id != second.snapshot_id
    with duckdb.connect(str(published), read_only=True) as connection:
        assert len(folds(connection)) == 9


def test_images_that_moved_keep_their_fold(project: Project, tmp_path: Path) -> None:
    with project.warehouse.connect() as connection:
        update(connection, tmp_path, "v1", PLAN, makes_file=True)
        before = folds(connection)
        connection.execute("UPDATE mvtec_ad.images SET split = 'test'")
        update(connection, tmp_path, "v1")
        assert folds(connection) == before


def test_a_training_image_that_looks_like_a_test_image_is_in_no_fold(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    test, train = "mvtec_ad/bottle/test/good/000.png", "mvtec_ad/bottle/train/good/000.png"
    add_near_duplicates(connection, [(train, test, 0.1)])
    made = update(connection, tmp_path, "v1", PLAN, makes_file=True)
    assert (made.newcomers, made.folds["left_out"]) == (TRAINING, 1)
    assert [*warnings_of(made)] == [
        "v1: 1 newcomer looks like an image of a split that is not assigned, and no fold has it. "
        f"{train}, a near duplicate of {test} in test."
    ]
    found = folds(connection)
    assert (found.get(train), found[test]) == (None, "test")
    assert read(tmp_path / "v1.csv")[1].keys() == {
        content
        for (content,) in connection.execute(
            "SELECT content_sha256 FROM assigned_contents"
        ).fetchall()
    }
    connection.execute("DELETE FROM near_duplicates")
    assert update(connection, tmp_path, "v1").folds["left_out"] == 1
    # A copy of what is left out that the source has among its test images is a test image.
    connection.execute("UPDATE mvtec_ad.images SET split = 'test' WHERE image_id = ?", [train])
    assert folds(connection)[train] == "test"


def test_a_fold_that_is_edited_to_left_out_leaves_the_image_out(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    update(connection, tmp_path, "v1", PLAN, makes_file=True)
    plan, lines = read(tmp_path / "v1.csv")
    first, *others = sorted(lines.values(), key=lambda line: line.content)
    write(tmp_path / "v1.csv", plan, [replace(first, fold="left_out"), *others])
    update(connection, tmp_path, "v1")
    assert first.image_id not in folds(connection)


def with_attribute(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    connection.execute(
        f"CREATE OR REPLACE VIEW effective_images AS SELECT COLUMNS(name -> name <> 'attributes'), "
        f"{{'{name}': filename}} AS attributes FROM images"
    )


@pytest.mark.parametrize("option", ["by", "group"])
def test_an_assignment_whose_attribute_is_gone_goes_on_and_is_named(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, option: str
) -> None:
    with_attribute(connection, "camera")
    value = "attributes.camera" if option == "group" else ["attributes.camera"]
    plan = Plan.of({"val": 0.5, option: value})
    assert plan == Plan.of({"val": 0.5, option: "camera" if option == "group" else ["camera"]})
    update(connection, tmp_path, "v1", plan, makes_file=True)
    [(check, finding)] = evaluate(connection, SPLIT_CHECKS[1])
    assert (check.name, finding.count) == ("assignment_columns_exist", 0)
    before = folds(connection)
    with_attribute(connection, "serial")
    connection.execute(
        "UPDATE facts SET content_sha256 = sha256(image_id) WHERE image_id = $1", [NEW]
    )
    made = update(connection, tmp_path, "v1")
    assert {name: fold for name, fold in folds(connection).items() if name != NEW} == {
        name: fold for name, fold in before.items() if name != NEW
    }
    assert [*warnings_of(made)] == [
        f"v1: no image has a value of camera any more, which the option --{option} names. Assigned "
        "images keep their fold; 1 newcomer was assigned without it."
    ]
    [(_, finding)] = evaluate(connection, SPLIT_CHECKS[1])
    assert finding.shown == [("v1: camera", "no image has a value of it")]
    wrong = rf"^--{option} camera: .* Attributes: serial\.$"
    with pytest.raises(AssignmentError, match=wrong):
        update(connection, tmp_path, "v2", plan, makes_file=True)


NEW = "mvtec_ad/bottle/train/good/000.png"


def test_a_file_with_other_options_replaces_the_assignment_of_the_warehouse(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    update(connection, tmp_path / "mine", "v1", PLAN, makes_file=True)
    [line] = [line for line in read(tmp_path / "mine/v1.csv")[1].values() if line.image_id == NEW]
    theirs = Plan(folds=2)
    write(tmp_path / "theirs/v1.csv", theirs, [replace(line, fold="1")])
    made = update(connection, tmp_path / "theirs", "v1")
    assert {*made.folds} == {"0", "1"}
    assert made.newcomers == TRAINING - 1
    first, *_ = warnings_of(made)
    assert first == (
        f"{tmp_path}/theirs/v1.csv has other options (--seed 0 --folds 2) than the assignment v1 of the "
        "warehouse, and has replaced it. Copies of the file must be of one `anomaly-assets split`."
    )
    plan, lines = read(tmp_path / "theirs/v1.csv")
    assert plan == theirs
    assert lines[line.content].fold == "1"
    again = update(connection, tmp_path / "theirs", "v1")
    assert (again.newcomers, [*warnings_of(again)]) == (0, [])


def test_options_of_a_later_release_name_the_assignment(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    connection.execute("INSERT INTO assignments VALUES ('v9', '{\"val\": 0.2, \"cohort\": 1}', [])")
    with pytest.raises(
        AssignmentError, match=r"options of the assignment v9 cannot be used: .*cohort"
    ):
        update(connection, tmp_path, "v9")
    assert remove(connection, tmp_path, "v9") == 0
