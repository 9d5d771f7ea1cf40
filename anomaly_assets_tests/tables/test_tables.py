"""Test that the database has exactly the documented tables, columns, types and comments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from anomaly_assets.tables.ddl import (
    comment_on_catalogue,
    ensure_tables,
    refresh,
    row_count,
    sql_text,
)
from anomaly_assets.tables.preview_rows import first_rows
from anomaly_assets.tables.registry import CATALOGUE_TABLES, TABLES, Table
from anomaly_assets.tables.sql_text import sql_literal
from anomaly_assets_tests.sampled import SAMPLED
from anomaly_assets_tests.warehouse.project import MADE_BY_REFRESH, Project

Described = Mapping[tuple[str, str], list[tuple[Any, ...]]]
"""Schema and table to (column, type, comment), in order."""

COLUMNS = """
    SELECT schema_name, table_name, column_name, regexp_replace(data_type, '^STRUCT.*', 'STRUCT'), comment
    FROM duckdb_columns() WHERE NOT internal AND database_name = current_database()
    ORDER BY schema_name, table_name, column_index
"""
COMMENTS = """
    SELECT schema_name, table_name, false, comment FROM duckdb_tables() WHERE NOT internal
    UNION ALL
    SELECT schema_name, view_name, true, comment FROM duckdb_views() WHERE NOT internal
"""


def described(connection: duckdb.DuckDBPyConnection) -> Described:
    found: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    for schema, table, *column in connection.execute(COLUMNS).fetchall():
        found.setdefault((schema, table), []).append(tuple(column))
    return found


def documented(table: Table) -> list[tuple[str, str, str]]:
    return [(column.name, column.type, column.meaning) for column in table.columns]


@pytest.fixture(scope="module")
def in_the_database(
    loaded_once: Project,
) -> tuple[Described, dict[tuple[str, str], tuple[Any, ...]]]:
    with loaded_once.warehouse.connect() as connection:
        comments = connection.execute(COMMENTS).fetchall()
        return described(connection), {(row[0], row[1]): row[2:] for row in comments}


@pytest.fixture(scope="module")
def without_any_load(tmp_path_factory: pytest.TempPathFactory) -> Described:
    project = Project.at(tmp_path_factory.mktemp("empty"))
    project.refresh_all()
    with project.warehouse.connect() as connection:
        assert [row_count(connection, name) for name in TABLES] == [0] * len(TABLES)
        assert [row_count(connection, f"anomaly.{name}") for name in TABLES] == [0] * len(TABLES)
        return described(connection)


@pytest.mark.parametrize("schema", ["main", "anomaly"])
@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_its_documented_columns_types_and_comments(
    in_the_database: tuple[Described, object], name: str, schema: str
) -> None:
    assert in_the_database[0][schema, name] == documented(TABLES[name])


@pytest.mark.parametrize("schema", SAMPLED)
@pytest.mark.parametrize("name", CATALOGUE_TABLES)
def test_every_dlt_table_has_its_documented_columns_types_and_comments(
    in_the_database: tuple[Described, object], name: str, schema: str
) -> None:
    expected = documented(CATALOGUE_TABLES[name])
    assert sorted(in_the_database[0][schema, name]) == sorted(expected)


@pytest.mark.parametrize("name", TABLES)
def test_tables_and_views_carry_their_description(
    in_the_database: tuple[Described, dict[tuple[str, str], tuple[Any, ...]]], name: str
) -> None:
    comments, table = in_the_database[1], TABLES[name]
    assert comments["main", name] == (table.is_view, table.description)
    assert comments["anomaly", name] == (True, table.description)


@pytest.mark.parametrize("name", CATALOGUE_TABLES)
def test_dlt_tables_carry_their_description(
    in_the_database: tuple[Described, dict[tuple[str, str], tuple[Any, ...]]], name: str
) -> None:
    for source_dataset in SAMPLED:
        expected = (False, CATALOGUE_TABLES[name].description)
        assert in_the_database[1][source_dataset, name] == expected


@pytest.mark.slow
def test_nothing_but_the_documented_tables_is_made(without_any_load: Described) -> None:
    assert set(without_any_load) == {
        (schema, name) for schema in ("main", "anomaly") for name in TABLES
    } | {("main", "identity")}


@pytest.mark.parametrize("name", TABLES)
def test_tables_look_the_same_where_no_source_dataset_was_ever_loaded(
    without_any_load: Described, name: str
) -> None:
    assert without_any_load["main", name] == documented(TABLES[name])
    assert without_any_load["anomaly", name] == documented(TABLES[name])


def test_every_meaning_is_a_sentence_for_people() -> None:
    for table in (*TABLES.values(), *CATALOGUE_TABLES.values()):
        assert table.description.endswith(".")
        assert all(column.meaning.strip() for column in table.columns)


def test_the_catalogue_has_the_columns_of_the_contract(project: Project) -> None:
    row = project.rows(
        """
        SELECT image_id, split, label, label_index, defect_type, filename, mask_relative_path
        FROM anomaly.images WHERE category = 'Class1' AND label = 'anomalous'
        """
    )
    assert row == [
        (
            "dagm_2007/Class1/Train/0002.PNG",
            "train",
            "anomalous",
            1,
            "unspecified",
            "0002.PNG",
            "Class1/Train/Label/0002_label.PNG",
        )
    ]


@pytest.mark.slow
def test_refreshing_again_changes_nothing(project: Project) -> None:
    query = "FROM (FROM query_table($name)) AS row ORDER BY row::VARCHAR"
    with project.warehouse.connect() as connection:
        before = {n: connection.execute(query, {"name": n}).fetchall() for n in MADE_BY_REFRESH}
        columns = described(connection)
        refresh(connection, *MADE_BY_REFRESH)
        after = {n: connection.execute(query, {"name": n}).fetchall() for n in MADE_BY_REFRESH}
        assert after == before
        assert described(connection) == columns


def test_a_view_that_was_changed_by_hand_is_rebuilt(project: Project) -> None:
    """Refreshing remembers the text of a view that it has compared, and compares another one."""
    query = "SELECT sql FROM duckdb_views() WHERE view_name = 'splits' AND schema_name = 'main'"
    with project.warehouse.connect() as connection:
        refresh(connection, "splits")
        [(text,)] = before = connection.execute(query).fetchall()
        changed = text.replace("CREATE VIEW", "CREATE OR REPLACE VIEW").removesuffix(";")
        connection.execute(f"{changed} LIMIT 1")
        assert connection.execute(query).fetchall() != before
        refresh(connection, "splits")
        assert connection.execute(query).fetchall() == before


def test_refreshing_again_writes_nothing(project: Project) -> None:
    file = project.warehouse.path
    before = file.read_bytes()
    with project.warehouse.connect() as connection:
        refresh(connection, *(name for name, table in TABLES.items() if not table.is_stored))
    assert not file.with_name(f"{file.name}.wal").exists()
    assert file.read_bytes() == before


@pytest.mark.parametrize("name", MADE_BY_REFRESH)
def test_refreshing_replaces_a_comment_of_an_earlier_release(project: Project, name: str) -> None:
    column = TABLES[name].column_names[0]
    with project.warehouse.connect() as connection:
        connection.execute(f"COMMENT ON COLUMN {name}.{column} IS 'as it was'")
        refresh(connection, name)
        assert described(connection)["main", name] == documented(TABLES[name])


def test_no_view_replaces_or_excludes_two_columns_at_once() -> None:
    """Refuse two columns: their order differs between processes, so runs would replace the view."""
    for name in (name for name, table in TABLES.items() if table.is_view):
        text = re.sub("--.*", "", sql_text(name))
        assert not re.search(r"EXCLUDE \([^)]*,", text), name
        for replaced in re.findall(r"REPLACE \((.*?) AS \w+\s*\)", text, re.DOTALL):
            assert not re.search(r" AS \w+,", replaced), name


def test_the_view_of_all_images_takes_up_a_source_dataset_when_it_is_refreshed(
    project: Project,
) -> None:
    query = "SELECT source_dataset, count(*) FROM images GROUP BY ALL ORDER BY ALL"
    with project.warehouse.connect() as connection:
        assert connection.execute(query).fetchall() == [("dagm_2007", 3), ("mvtec_ad", 6)]
        connection.execute("ALTER TABLE dagm_2007.images RENAME TO away")
        refresh(connection, "images")
        assert connection.execute(query).fetchall() == [("mvtec_ad", 6)]
        connection.execute("ALTER TABLE dagm_2007.away RENAME TO images")
        refresh(connection, "images")
        assert connection.execute(query).fetchall() == [("dagm_2007", 3), ("mvtec_ad", 6)]


def test_ensuring_tables_keeps_what_they_hold(project: Project) -> None:
    with project.warehouse.connect() as connection:
        ensure_tables(connection)
        assert row_count(connection, "image_tensors") == 9
        assert row_count(connection, "anomaly.image_tensors") == 9


def test_commenting_on_a_source_dataset_that_was_never_loaded_is_no_error(tmp_path: Path) -> None:
    with Project.at(tmp_path).warehouse.connect() as connection:
        comment_on_catalogue(connection, "mvtec_ad")
        assert described(connection) == {}


def test_a_table_that_does_not_exist_has_no_rows(project: Project) -> None:
    with project.warehouse.connect() as connection:
        assert row_count(connection, "mvtec_ad.images") == 6
        assert row_count(connection, "nowhere.images") == 0
        assert row_count(connection, "nothing") == 0


def test_rows_are_shown_as_a_markdown_table(project: Project) -> None:
    with project.warehouse.connect() as connection:
        connection.execute(
            "CREATE TABLE shown (name VARCHAR, share DOUBLE, parts DOUBLE[], nothing INTEGER)"
        )
        connection.execute("INSERT INTO shown VALUES ('a|b', 0.123456, [0.5, 1.0], NULL)")
        connection.execute("INSERT INTO shown VALUES ('line' || chr(10) || 'break', 2, [], 7)")
        assert first_rows(connection, "shown", 5).markdown().splitlines() == [
            "| name | share | parts | nothing |",
            "| --- | --- | --- | --- |",
            "| a\\|b | 0.1235 | 0.5, 1 |  |",
            "| line\\x0abreak | 2 |  | 7 |",
        ]
        assert len(first_rows(connection, "shown", 1).markdown().splitlines()) == 3


def test_text_with_quotes_becomes_one_sql_literal() -> None:
    text = "it's '; DROP TABLE images; --"
    assert duckdb.sql(f"SELECT {sql_literal(text)}").fetchall() == [(text,)]
