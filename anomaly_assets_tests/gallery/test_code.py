"""Test the SQL and the Python that the page gives: they select the images on the screen, in their order."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from anomaly_assets_tests.gallery.scripts import evaluated
from anomaly_assets_tests.gallery.test_scripts import an_index

HOSTILE = 'it\'s "x"; DROP TABLE a; --\\ \n$1 ü\u202e'

VIEWS = (
    "",
    "label=anomalous&area=0.03..",
    "category=a/x&category=b/x&sort=-score",
    "dataset=a&category=a/x&category=b/x",
    "dataset=a&dataset=b&category=b/x",
    "defect=&sort=score",
    "defect=hole&defect=",
    "check=pairs&check=masks",
    "check=",
    "check=pairs&check=",
    "evidence=path",
    "licence=open&sort=area",
    "a.camera=R&a.camera=",
    "loaded=150..250",
    "score=..0.5",
    "rank=..0.95&label=anomalous",
    "search=HOLE x/",
    "sort=-loaded",
)

TABLES = """
CREATE SCHEMA anomaly;
CREATE TABLE anomaly.samples_without_tensors (
    image_id VARCHAR, source_dataset VARCHAR, category VARCHAR, split VARCHAR, label VARCHAR,
    defect_type VARCHAR,
    mask_area_fraction DOUBLE, loaded_at TIMESTAMP, attributes STRUCT(camera VARCHAR)
);
CREATE TABLE anomaly.effective_images (image_id VARCHAR, label_source VARCHAR);
CREATE TABLE anomaly.source_datasets (source_dataset VARCHAR, licence VARCHAR);
CREATE TABLE anomaly.baseline_scores (image_id VARCHAR, recipe VARCHAR, label VARCHAR, score DOUBLE);
CREATE TABLE anomaly.quality_images ("check" VARCHAR, image_id VARCHAR);
"""


def licensed() -> dict[str, Any]:
    index = an_index(licence=[0, 0, 0, 1])
    index["words"]["licence"] = ["open", HOSTILE]
    index["recipe"] = "patch'core"
    return index


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    """Return a database with the tables that the SQL reads, filled with the images of the index."""
    index = licensed()
    words, columns = index["words"], index["columns"]

    def word(name: str, row: int) -> Any:
        code = columns[name][row]
        return None if code < 0 else words[name][code]

    with duckdb.connect() as connection:
        connection.execute(TABLES)
        for row, image_id in enumerate(columns["image_id"]):
            camera = index["attributes"]["camera"]
            code = camera["codes"][row]
            connection.execute(
                "INSERT INTO anomaly.samples_without_tensors "
                "VALUES (?, ?, ?, ?, ?, ?, ?, make_timestamp(? * 1000000), {'camera': ?})",
                [
                    image_id,
                    *(
                        word("source_dataset", row),
                        word("category", row)["name"],
                        word("split", row),
                    ),
                    *(word("label", row), word("defect_type", row), columns["defect_area"][row]),
                    columns["loaded_at"][row],
                    None if code < 0 else camera["words"][code],
                ],
            )
            connection.execute(
                "INSERT INTO anomaly.effective_images VALUES (?, 'path')", [image_id]
            )
            score = columns["score"][row]
            connection.execute(
                "INSERT INTO anomaly.baseline_scores VALUES (?, 'patch''core', 'x', ?)",
                [image_id, score],
            )
        for check, rows in zip(words["check"], index["checks"], strict=True):
            for row in rows:
                values = [check["name"], columns["image_id"][row]]
                connection.execute("INSERT INTO anomaly.quality_images VALUES (?, ?)", values)
        for dataset, licence in zip(words["source_dataset"], words["licence"], strict=True):
            connection.execute(
                "INSERT INTO anomaly.source_datasets VALUES (?, ?)", [dataset, licence]
            )
        for name in (
            *("samples_without_tensors", "effective_images", "source_datasets", "baseline_scores"),
            "quality_images",
        ):
            connection.execute(f"CREATE VIEW main.{name} AS FROM anomaly.{name}")
        connection.execute("CREATE VIEW main.samples AS FROM anomaly.samples_without_tensors")
        yield connection


@pytest.fixture(scope="module")
def code() -> dict[str, dict[str, Any]]:
    """Return the ids on the screen, the SQL and the Python of each view."""
    expression = """(() => {
      const table = tableOf(input.index);
      return input.views.map((address) => {
        const view = viewOf(address, table);
        const rows = selected(table, view).rows;
        const ids = Array.from(rows, (row) => table.ids[row]);
        return { ids, sql: sqlOf(table, view, []), python: pythonOf(table, view, []) };
      });
    })()"""
    answers = evaluated(expression, {"index": licensed(), "views": VIEWS})
    return dict(zip(VIEWS, answers, strict=True))


@pytest.mark.parametrize("view", VIEWS)
def test_the_sql_selects_what_is_on_the_screen(
    view: str, code: dict[str, dict[str, Any]], database: duckdb.DuckDBPyConnection
) -> None:
    found = [image_id for image_id, *_ in database.execute(code[view]["sql"]).fetchall()]
    assert found == code[view]["ids"], code[view]["sql"]


@pytest.mark.parametrize("view", VIEWS)
def test_the_python_selects_what_is_on_the_screen(
    view: str, code: dict[str, dict[str, Any]], database: duckdb.DuckDBPyConnection
) -> None:
    """Ask for its filters and its condition as `open_samples` does, to which tables have no schema."""
    arguments = arguments_of(code[view]["python"])
    conditions = ["true"]
    values: list[str] = []
    for name, wanted in arguments.items():
        if name in ("where", "include_unknown"):
            continue
        several = [wanted] if isinstance(wanted, str) else wanted
        conditions.append(f"{name} IN ({', '.join('?' for _ in several)})")
        values += several
    if "where" in arguments:
        conditions.append(f"({arguments['where']})")
    query = f"SELECT image_id FROM samples WHERE {' AND '.join(conditions)}"
    found = {image_id for (image_id,) in database.execute(query, values).fetchall()}
    assert found == set(code[view]["ids"]), code[view]["python"]


def arguments_of(python: str) -> dict[str, Any]:
    """Return the arguments of the only call in a text, which is parsed and never run."""
    call = ast.parse(python).body[-1]
    assert isinstance(call, ast.Assign)
    assert isinstance(call.value, ast.Call)
    return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.value.keywords}


def test_hostile_names_stay_values() -> None:
    """Ask with a name in every place that a name can have."""
    index = licensed()
    index["attributes"] = {
        HOSTILE: {"type": "text", "words": [HOSTILE, "n"], "codes": [0, 1, 0, 0]}
    }
    for name in ("split", "label", "defect_type", "source_dataset"):
        index["words"][name] = [HOSTILE, *index["words"][name][1:]]
    index["words"]["category"][0]["name"] = HOSTILE
    index["columns"]["image_id"] = [HOSTILE, *index["columns"]["image_id"][1:]]
    index["recipe"] = HOSTILE
    expression = """(() => {
      const table = tableOf(input.index);
      const ranges = { score: [0, 1], rank: [0, 1] };
      const view = { ...emptyView(), search: input.name, sort: "score", ranges, chosen: {} };
      for (const [key, field] of table.fields) view.chosen[key] = [field.words[0]];
      const ids = [table.ids[0]];
      return [sqlOf, pythonOf].flatMap((code) => [code(table, view, []), code(table, view, ids)]);
    })()"""
    sql, by_id, python, python_by_id = evaluated(expression, {"index": index, "name": HOSTILE})
    with duckdb.connect() as connection:
        connection.execute(TABLES)
        connection.execute(
            "ALTER TABLE anomaly.samples_without_tensors DROP COLUMN attributes CASCADE"
        )
        quoted = '"' + HOSTILE.replace('"', '""') + '"'
        connection.execute(
            f"ALTER TABLE anomaly.samples_without_tensors ADD COLUMN attributes STRUCT({quoted} VARCHAR)"
        )
        for query in (sql, by_id):
            assert connection.execute(query).fetchall() == []
        connection.execute("SET schema = 'anomaly'")
        for text in (python, python_by_id):
            condition = arguments_of(text)["where"]
            assert (
                connection.execute(
                    f"FROM samples_without_tensors AS samples WHERE {condition}"
                ).fetchall()
                == []
            )
    assert arguments_of(python)["split"] == HOSTILE
    assert json.dumps(HOSTILE) not in python_by_id
