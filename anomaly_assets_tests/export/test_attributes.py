"""Test that exports carry attributes, and that `datasets` and `mlcroissant` load them with their types."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anomaly_assets.export import FORMATS
from anomaly_assets_tests.declared.conftest import Declared, own
from anomaly_assets_tests.declared.test_attributes import load_parts
from anomaly_assets_tests.warehouse.project import SPEC

__all__ = ["own"]

DECLARATION = """
[parts]
images = ["{label}/{name}"]
citation = "Parts, 2026"

[[parts.tables]]
path = "parts.csv"
columns = { image = "file" }
attributes.camera = "camera"
attributes.serial = { column = "SN", type = "integer" }
attributes.weight = { column = "kg", type = "number" }
attributes.rework = { column = "rework", type = "boolean" }
attributes.captured_at = { column = "time", type = "time" }
"""
ROWS = "file;camera;SN;kg;rework;time\nok/a.png;A;12;1.5;yes;2026-01-02T03:04:05Z\nok/b.png;B;;;;\n"
VALUES = {
    "attribute_camera": ["A", "B", None],
    "attribute_serial": [12, None, None],
    "attribute_weight": [1.5, None, None],
    "attribute_rework": [True, None, None],
    "attribute_captured_at": [datetime(2026, 1, 2, 3, 4, 5), None, None],
}


@pytest.fixture
def published(own: Declared) -> Path:
    own.declare(DECLARATION)
    own.image("parts/ok/a.png", "parts/ok/b.png", "parts/ok/c.png")
    own.text("parts/parts.csv", ROWS)
    load_parts(own, "parts")
    own.project.warehouse.publish(own.project.folder / "anomaly.duckdb", SPEC)
    return own.project.folder / "anomaly.duckdb"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["parquet", "imagefolder"])
def test_attributes_are_typed_columns_that_datasets_loads(
    published: Path, tmp_path: Path, load: Callable[..., Any], name: str
) -> None:
    folder = FORMATS[name](tmp_path / "out", published).folder
    rows = load(str(folder))["unassigned"].sort("image_id")
    assert {column: rows[column][:] for column in VALUES} == VALUES
    assert {column: rows.features[column].dtype for column in VALUES} == {
        "attribute_camera": "string",
        "attribute_serial": "int64",
        "attribute_weight": "float64",
        "attribute_rework": "bool",
        "attribute_captured_at": "timestamp[us]",
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["parquet", "label-studio"])
def test_croissant_describes_attributes(published: Path, tmp_path: Path, name: str) -> None:
    croissant = pytest.importorskip("mlcroissant")
    folder = FORMATS[name](tmp_path / "out", published).folder
    described = croissant.Dataset(folder / "croissant.json")
    assert described.metadata.ctx.issues.report() == ""
    records = {each["samples/image_id"].decode(): each for each in described.records("samples")}
    first = records["parts/ok/a.png"]
    assert first["samples/attribute_camera"].decode() == "A"
    assert (first["samples/attribute_serial"], first["samples/attribute_weight"]) == (12, 1.5)
    assert first["samples/attribute_captured_at"] == datetime(2026, 1, 2, 3, 4, 5)
    assert len(records) == 3


@pytest.mark.slow
def test_tables_of_other_formats_have_their_own_columns(published: Path, tmp_path: Path) -> None:
    folder = FORMATS["anomalib"](tmp_path / "out", published).folder
    found = {name for path in folder.glob("*.parquet") for name in pq.read_schema(path).names}
    assert not any(name.startswith("attribute") for name in found)


def test_without_attributes_there_is_no_column(database: Path, tmp_path: Path) -> None:
    folder = FORMATS["parquet"](tmp_path / "out", database).folder
    for path in folder.rglob("*.parquet"):
        schema: pa.Schema = pq.read_schema(path)
        assert not any(name.startswith("attribute") for name in schema.names)
