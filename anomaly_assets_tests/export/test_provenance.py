"""Test what exports state about themselves; none has a path of this machine, a time or a null."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anomaly_assets.export import FORMATS
from anomaly_assets.reader import open_samples
from anomaly_assets_tests.export.published import files_below, snapshot_id

FILTERS = {"category": ["bottle"], "where": "filename <> 'ü'"}
LICENCES = {"mvtec_ad": "CC BY-NC-SA 4.0"}


@pytest.fixture(params=FORMATS)
def exported(request: pytest.FixtureRequest, database: Path, tmp_path: Path) -> Path:
    where = FILTERS["where"]
    return FORMATS[request.param](
        tmp_path / "out", database, category="bottle", where=str(where)
    ).folder


def test_every_export_states_snapshot_recipe_licences_and_filters(
    exported: Path, database: Path
) -> None:
    stated = {
        "snapshot_id": snapshot_id(database),
        "recipe": "8x6x3",
        "licences": LICENCES,
        "filters": FILTERS,
    }
    readme = (exported / "README.md").read_text("utf-8")
    described = readme.partition("```json\n")[2].partition("```")[0]
    marker = (exported / ".anomaly_assets_export.json").read_text("utf-8")
    for facts in map(json.loads, (described, marker)):
        assert {name: facts[name] for name in stated} == stated
    files = [*exported.rglob("*.parquet")]
    assert files
    for path in files:
        metadata = pq.read_schema(path).metadata
        for name, value in stated.items():
            text = metadata[name.encode()].decode()
            assert (text if isinstance(value, str) else json.loads(text)) == value


def test_no_file_has_a_path_of_this_machine(exported: Path, database: Path) -> None:
    for name, content in files_below(exported).items():
        assert b"file:/" not in content, name
        assert str(database.parent).encode() not in content, name
    for path in exported.rglob("*.parquet"):
        table = pq.read_table(path)
        for column in table.column_names:
            if pa.types.is_string(table[column].type):
                assert not any(text.startswith("/") for text in table[column].to_pylist())
        if "source_uri" in table.column_names:
            expected = [text.partition("/")[2] for text in table["image_id"].to_pylist()]
            assert table["source_uri"].to_pylist() == expected


def test_no_column_has_a_null_or_a_time(exported: Path) -> None:
    for path in exported.rglob("*.parquet"):
        table = pq.read_table(path)
        assert not any(pa.types.is_temporal(field.type) for field in table.schema)
        assert not any(table[name].null_count for name in table.column_names)


def test_samples_name_the_licences_of_their_source_datasets(database: Path) -> None:
    with open_samples(database, category="bottle") as samples:
        assert samples.licences == LICENCES
    with open_samples(database) as samples:
        assert samples.licences == {"dagm_2007": "CC BY 4.0", **LICENCES}
