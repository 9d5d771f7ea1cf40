"""Test the opened selection of samples, and messages for empty ones."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomaly_assets.reader import DatabaseError, Samples, open_samples, selection
from anomaly_assets.warehouse import ranges
from anomaly_assets_tests.reader.published import IMAGE_IDS
from anomaly_assets_tests.warehouse.project import Project

CATEGORIES = "dagm_2007: Class1; mvtec_ad: bottle, carpet, screw"


def ids(samples: Samples) -> list[str]:
    return [str(image_id) for image_id in samples.table["image_id"].to_pylist()]


@pytest.mark.parametrize(
    ("filters", "part"),
    [
        ({"category": "carpet"}, "/carpet/"),
        ({"source_dataset": "dagm_2007"}, "dagm_2007/"),
        ({"category": "bottle", "split": "train", "label": "good"}, "/bottle/train/good/"),
        ({"where": "defect_type = 'crack'"}, "/crack/"),
        ({"where": "true -- what follows a comment is not lost", "category": "screw"}, "/screw/"),
    ],
)
def test_a_selection_has_what_it_names_only(
    database: Path, filters: dict[str, Any], part: str
) -> None:
    expected = [image_id for image_id in IMAGE_IDS if part in image_id]
    assert expected
    assert ids(open_samples(database, **filters)) == expected


def test_a_warehouse_has_no_snapshot_id_because_its_rows_may_not_be_published(
    project: Project,
) -> None:
    with project.warehouse.connect() as connection:
        assert connection.execute("SELECT count(*) FROM snapshots").fetchall() != [(0,)]
    with open_samples(project.warehouse.path) as samples:
        assert samples.snapshot_id is None
        assert samples.images[:].any()


@pytest.mark.parametrize(
    ("word", "label"),
    [
        *((word, "good") for word in ("normal", "ok", "OK", "Good", "0")),
        *((word, "anomalous") for word in ("NG", "defective", "Bad", "nok", "ABNORMAL", "1")),
    ],
)
def test_a_label_is_found_by_every_word_for_it(database: Path, word: str, label: str) -> None:
    found = open_samples(database, label=[word]).table["label"]
    assert set(found.to_pylist()) == {label}


def test_a_filter_takes_several_values(database: Path) -> None:
    chosen = open_samples(database, category=["carpet", "screw"], split=("train", "test"))
    assert ids(chosen) == [i for i in IMAGE_IDS if "/carpet/" in i or "/screw/" in i]
    with pytest.raises(ValueError, match=r"category=\[\] matches nothing"):
        open_samples(database, category=[])


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (
            {"category": "botle"},
            f"category='botle' does not exist. Did you mean 'bottle'\\? .*{CATEGORIES}",
        ),
        (
            {"category": ["bottle", "zzz"]},
            f"category='zzz' does not exist. Categories: {CATEGORIES}",
        ),
        ({"category": "'; DROP TABLE images; --"}, CATEGORIES),
        ({"split": "val"}, "split='val' does not exist. Existing values: test, train."),
        ({"label": "god"}, "label='god' does not exist. Existing values: anomalous, good."),
        (
            {"label": "not good"},
            "label='not good' does not exist. Existing values: anomalous, good.",
        ),
        ({"label": "anormal"}, "label='anormal' does not exist. Existing values: anomalous, good."),
        (
            {"source_dataset": "mvtec"},
            "Did you mean 'mvtec_ad'\\? Existing values: dagm_2007, mvtec_ad.",
        ),
        (
            {"source_dataset": "dagm_2007", "category": "bottle"},
            "no sample with source_dataset='dagm_2007' and category='bottle', but each condition alone "
            f"has some. Categories: {CATEGORIES}",
        ),
        ({"where": "width = 1"}, r"no sample with \(width = 1\)"),
    ],
)
def test_a_selection_without_samples_says_what_exists(
    database: Path, filters: dict[str, Any], message: str
) -> None:
    with pytest.raises(LookupError, match=message):
        open_samples(database, **filters)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": 1}, "split=1: give a string, or a list of strings."),
        (
            {"category": ["bottle", 3]},
            "category=['bottle', 3]: give a string, or a list of strings.",
        ),
        ({"label": b"good"}, "label=b'good': give a string, or a list of strings."),
        ({"label": {"good": 1}}, "label={'good': 1}: give a string, or a list of strings."),
        ({"where": True}, "where=True: give a SQL condition, such as \"defect_type = 'scratch'\"."),
        ({"snapshot": 12}, "snapshot=12: give the id of a snapshot, or its first digits."),
        (
            {"database": 3},
            "database=3: give the path of a DuckDB file, ducklake:postgres:… or md:NAME.",
        ),
    ],
)
def test_an_argument_of_the_wrong_type_is_answered_with_what_is_accepted(
    database: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError) as raised:
        open_samples(**{"database": database, **arguments})
    assert str(raised.value) == message


@pytest.mark.parametrize(
    "where",
    ["colour = 'red'", "category = ", "category = 'x", "1 +", "(", "", "category = ?", "$1"],
)
def test_a_condition_that_is_none_is_answered_with_the_columns(database: Path, where: str) -> None:
    with pytest.raises(ValueError, match=r"is not a SQL condition .*[.!?] Columns: image_id,"):
        open_samples(database, where=where)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (
            "lenght(filename) > 3",
            'Catalog Error: Scalar Function with name lenght does not exist! Did you mean "length"?',
        ),
        (
            "image_id IN (SELECT image_id FROM nothing_of_ours)",
            "Catalog Error: Table with name nothing_of_ours does not exist! Did you mean ",
        ),
        # A variable of the reader has that name.
        (
            "image_id IN (SELECT image_id FROM wanted)",
            "Catalog Error: Table with name wanted does not exist! Did you mean ",
        ),
        (
            "image_id IN (SELECT image_id FROM 'none.csv')",
            'IO Error: No files found that match the pattern "none.csv"',
        ),
        ("nextval('numbers') > 1", "Catalog Error: Sequence with name numbers does not exist!"),
        ("label COLLATE nowhere = 'good'", "Catalog Error: Collation with name nowhere does not"),
    ],
)
def test_what_a_condition_names_and_does_not_exist_is_no_fault_of_the_database(
    database: Path, where: str, said: str
) -> None:
    with pytest.raises(ValueError, match="is not a SQL condition over the columns") as told:
        open_samples(database, where=where)
    assert f"is not a SQL condition over the columns of samples: {said}" in str(told.value)


def test_a_condition_that_meets_damage_is_no_fault_of_the_condition(
    database: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copyfile(database, tmp_path / "anomaly.duckdb"))
    where = "image_tensor <> ''::BLOB"
    with open_samples(path, where=where) as samples:
        image = samples[0].image.tobytes()
    content = bytearray(path.read_bytes())
    content[content.index(image)] ^= 1
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match=r"anomaly.duckdb cannot be read: .*make materialize"):
        open_samples(path, where=where)


def test_a_condition_is_sql_as_it_stands_and_quotes_are_the_caller_s(database: Path) -> None:
    """Check that a condition is a single one and writes nothing; it is trusted, and can name any table."""
    assert len(open_samples(database, where="filename LIKE '%''%' OR category = 'screw'")) == 1
    for lifting in ("true) OR (true", "false) OR (split = 'test'"):
        with pytest.raises(ValueError, match="is not a SQL condition"):
            open_samples(database, split="train", where=lifting)
    with pytest.raises(ValueError, match=r"more than one SQL statement|is not a SQL condition"):
        open_samples(database, where="true); DROP VIEW samples; SELECT (true")
    assert len(open_samples(database)) == len(IMAGE_IDS)


def test_the_environment_names_the_database_that_is_opened_by_default(
    database: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ANOMALY_DATABASE", str(database))
    assert len(open_samples()) == len(IMAGE_IDS)
    monkeypatch.delenv("ANOMALY_DATABASE")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"data/anomaly.duckdb does not exist: run `make"):
        open_samples()


def test_samples_say_what_they_are(database: Path) -> None:
    samples = open_samples(database, category="bottle", split="train")
    assert repr(samples) == "<4 samples of 8×6×3: category='bottle' and split='train'>"
    chosen = "<2 samples of 8×6×3: category='bottle' and split='train'; chosen from 4>"
    assert repr(samples[:2]) == chosen
    assert samples.snapshot_id is not None
    assert len(samples.snapshot_id) == 64


def test_many_samples_are_selected_in_several_queries_like_few(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = open_samples(database, include_unknown=True)
    monkeypatch.setattr(ranges, "IMAGES_AT_ONCE", 4)
    samples = open_samples(database, include_unknown=True)
    assert samples.table.equals(expected.table)
    assert np.array_equal(samples.images[:], expected.images[:])


def test_a_condition_is_evaluated_once_however_many_samples_there_are(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "IMAGES_AT_ONCE", 4)
    where = "image_id IN (SELECT image_id FROM samples ORDER BY random() LIMIT 3)"
    assert {len(open_samples(database, where=where, include_unknown=True)) for _ in range(5)} == {3}


def test_without_a_condition_no_values_are_looked_up(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that all samples are read once: the values are in every row."""
    monkeypatch.setattr(selection, "_EXISTING", "SELECT no_such_column FROM samples")
    assert ids(open_samples(database, include_unknown=True)) == IMAGE_IDS
