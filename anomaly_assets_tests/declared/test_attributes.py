"""Test attributes: typed columns of tables, reachable by name in the views and in conditions of readers."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.datasets.attributes import struct_of
from anomaly_assets.datasets.declaration_files import declared
from anomaly_assets.export import to_parquet
from anomaly_assets.reader import open_samples
from anomaly_assets.tables.ddl import ensure_tables, refresh_labels
from anomaly_assets.warehouse.content import content_id
from anomaly_assets_tests.declared.conftest import Declared
from anomaly_assets_tests.warehouse.project import SPEC

PARTS = """
[parts]
images = ["{label}/{name}"]

[[parts.tables]]
path = "parts.csv"
columns = { image = "file" }
attributes.camera = "Kamera"
attributes.serial = { column = "SN", type = "integer" }
attributes.captured_at = { column = "time", type = "time" }
"""
ROWS = "file;Kamera;SN;time\nok/a.png;A;12;2026-01-02T03:04:05+02:00\nok/b.png;B;twelve;\n"


def load_parts(own: Declared, *names: str) -> None:
    for name in names:
        load(SOURCE_DATASETS[name], str(own.project.folder / name), own.project.warehouse)
    with own.project.warehouse.connect() as connection:
        ensure_tables(connection)
        refresh_labels(connection)
    own.project.build()
    own.project.refresh_all()


@pytest.fixture
def parts(own: Declared) -> Declared:
    own.declare(PARTS)
    own.image("parts/ok/a.png", "parts/ok/b.png", "parts/ok/c.png")
    own.text("parts/parts.csv", ROWS)
    load_parts(own, "parts")
    return own


@pytest.mark.slow
def test_attributes_are_typed_and_reachable_by_name(parts: Declared) -> None:
    query = """
        SELECT filename, attributes.camera, attributes.serial, attributes.captured_at
        FROM {} ORDER BY ALL
    """
    for table in ("images", "effective_images", "samples", "samples_without_tensors"):
        assert parts.project.rows(query.format(table)) == [
            ("a.png", "A", 12, datetime(2026, 1, 2, 1, 4, 5)),
            ("b.png", "B", None, None),
            ("c.png", None, None, None),
        ]
    at = "SELECT filename FROM samples_at('8x6x3') WHERE attributes.serial > 11"
    assert parts.project.rows("SELECT label FROM images") == [("good",)] * 3
    with parts.project.warehouse.connect() as connection:
        connection.execute(
            "INSERT INTO recipes VALUES ('8x6x3', 'parts', 'lanczos-simd-8x6x3', true, 'declaration')"
        )
    assert parts.project.rows(at) == [("a.png",)]


@pytest.mark.slow
def test_a_value_of_another_type_is_named_and_changes_nothing_else(parts: Declared) -> None:
    [detail] = parts.project.column("SELECT detail FROM parts.stray_files")
    assert detail == '1 invalid row, such as 3: serial is "twelve", which is no integer'


def test_two_datasets_share_one_struct(parts: Declared) -> None:
    parts.declare(
        """
        [lids]
        images = ["{label}/{name}"]

        [[lids.tables]]
        path = "lids.json"
        columns = { image = "file" }
        attributes.operator = "by"
        attributes.serial = { column = "SN", type = "number" }
        attributes.rework = { column = "rework", type = "boolean" }
        """
    )
    parts.image("lids/ok/a.png")
    parts.json("lids/lids.json", [{"file": "ok/a.png", "by": "ada", "SN": 1.5, "rework": True}])
    load_parts(parts, "lids")
    names = ("serial", "operator", "rework", "camera")
    columns = ", ".join(f"attributes.{name}" for name in names)
    for table in ("images", "samples", "anomaly.samples"):
        assert parts.project.rows(f"SELECT {columns} FROM {table} ORDER BY ALL")[:2] == [
            (1.5, "ada", True, None),
            (12.0, None, None, "A"),
        ]


@pytest.mark.slow
def test_attributes_are_part_of_the_snapshot_id(parts: Declared) -> None:
    with parts.project.warehouse.connect() as connection:
        before = content_id(connection)
    parts.text("parts/parts.csv", ROWS.replace(";A;", ";C;"))
    load_parts(parts, "parts")
    with parts.project.warehouse.connect() as connection:
        assert content_id(connection) != before
    assert parts.project.build().decoded == 0


@pytest.mark.slow
def test_readers_and_exports_filter_by_attributes(parts: Declared, tmp_path: Path) -> None:
    with parts.project.warehouse.connect() as connection:
        connection.execute(
            "INSERT INTO recipes VALUES ('8x6x3', 'parts', 'lanczos-simd-8x6x3', true, 'declaration')"
        )
    target = tmp_path / "published" / "anomaly.duckdb"
    parts.project.warehouse.publish(target, SPEC)
    with open_samples(target, where="attributes.serial = 12") as samples:
        assert samples.table["image_id"].to_pylist() == ["parts/ok/a.png"]
        assert samples.table["attributes"][0].as_py()["camera"] == "A"
    made = to_parquet(tmp_path / "export", target, where="attributes.camera = 'A'")
    assert made.samples == 1
    existing = r" attributes\.camera, attributes\.captured_at, attributes\.serial\.$"
    with pytest.raises(ValueError, match=existing):
        open_samples(target, where="attributes.kamera = 'A'")


@pytest.mark.slow
def test_an_unknown_attribute_is_an_error_that_names_the_existing_ones(parts: Declared) -> None:
    with pytest.raises(duckdb.BinderException, match="camera"):
        parts.project.rows("SELECT attributes.kamera FROM samples")


def test_without_attributes_the_column_is_null() -> None:
    assert struct_of([None, "{}"]) == {"no_attributes": "BOOLEAN"}


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ('{ Camera = "c" }', 'attribute "Camera": a name has lower-case letters'),
        ('{ camera = { column = "c", type = "date" } }', "types are text, integer, number"),
        ('{ camera = { type = "text" } }', "attribute camera is a column"),
        ('["c"]', "attributes is { name"),
    ],
)
def test_wrong_attributes_are_named(attributes: str, message: str) -> None:
    text = PARTS.partition("attributes")[0] + f"attributes = {attributes}\n"
    problems = declared({"own.toml": text.encode()}).problems
    assert message in " ".join(map(str, problems))


LABELLED = """
[parts]
images = ["{name}"]

[[parts.tables]]
path = "parts.csv"
columns = { image = "file", label = "result" }
attributes.camera = "Kamera"
attributes.serial = { column = "SN", type = "integer" }
"""


@pytest.mark.slow
def test_a_table_without_the_column_of_an_attribute_keeps_its_labels(own: Declared) -> None:
    own.declare(LABELLED)
    own.image("parts/a.png", "parts/b.png")
    own.text("parts/parts.csv", "file;result;SN\na.png;good;1\nb.png;bad;2\n")
    load_parts(own, "parts")
    query = "SELECT filename, label, attributes.camera, attributes.serial FROM images ORDER BY ALL"
    assert own.project.rows(query) == [
        ("a.png", "good", None, 1),
        ("b.png", "anomalous", None, 2),
    ]
    assert own.project.column("SELECT detail FROM parts.stray_files") == [
        'No image has camera. No column "Kamera". The columns are "file", "result", "SN". Correct '
        "`attributes`, or remove the key."
    ]


def test_rows_that_disagree_about_an_attribute_or_a_label_give_none_however_many_they_are(
    own: Declared,
) -> None:
    own.declare(LABELLED)
    own.image("parts/a.png", "parts/b.png")
    rows = "file;result;Kamera;SN\na.png;good;A;1\na.png;good;B;1\na.png;good;C;1\n"
    own.text("parts/parts.csv", f"{rows}b.png;good;A;\nb.png;bad;A;\nb.png;good;A;\n")
    load_parts(own, "parts")
    query = "SELECT filename, label, attributes.camera, attributes.serial FROM images ORDER BY ALL"
    assert own.project.rows(query) == [
        ("a.png", "good", None, 1),
        ("b.png", "unknown", "A", None),
    ]
    assert own.project.column("SELECT detail FROM parts.stray_files") == [
        "2 rows in contradiction to another row of the same image, or with names of several "
        "images: a.png, b.png"
    ]
