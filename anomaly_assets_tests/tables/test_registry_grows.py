"""Test that a new summary or measured column needs one entry, and reaches all users of the registry."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

PROJECT = Path(__file__).parents[2]

SUMMARY_ENTRY = """        Table(
            "mode_summary",
            "Images per Pillow mode.",
            (
                Column("original_mode", "VARCHAR", "Pillow mode of the files"),
                Column("images", "BIGINT", "images with it"),
            ),
            key=1,
            made_from=("image_tensors",),
        ),
"""
SUMMARY_SQL = """CREATE OR REPLACE TABLE mode_summary AS
SELECT original_mode, count(*) AS images FROM image_tensors GROUP BY ALL ORDER BY ALL;
"""
COLUMN_ENTRY = '    Column("smallest_side", "INTEGER", "shorter side of the file, pixels"),\n'
RUN_ID = '    Column("run_id", "VARCHAR", "Dagster run that wrote it"),\n'
COLUMN_VALUE = '        "smallest_side": min(decoded.original_width, decoded.original_height),\n'


_COMMENT = """
SELECT comment FROM duckdb_columns()
WHERE schema_name = 'main' AND table_name = 'image_tensors' AND column_name = 'smallest_side'
"""


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Copy the project, with a warehouse that holds the samples."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("anomaly_assets", "data/samples"):
        shutil.copytree(PROJECT / name, folder / name)
    materialize(folder)
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ANOMALY_", "DAGSTER_")) and not name.endswith("_ROOT")
    }
    # A fraction of the time, also by evaluating nothing: the network does not exist.
    environment |= {"ANOMALY_IMAGE_SIZE": "32", "ANOMALY_BACKBONE": "none.pt"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def materialize(folder: Path) -> None:
    done = run(
        folder,
        *("-m", "dagster", "asset", "materialize"),
        *("-m", "anomaly_assets.definitions", "--select", "*"),
    )
    assert done.returncode == 0, done.stderr[-3000:]


def published(folder: Path, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(folder / "data" / "anomaly.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def insert(path: Path, before: str, text: str) -> None:
    content = path.read_text("utf-8")
    assert content.count(before) == 1, before
    path.write_text(content.replace(before, text + before), "utf-8")


def add_summary(folder: Path, *, with_entry: bool = True, with_key: bool = True) -> None:
    tables = folder / "anomaly_assets" / "tables"
    (tables / "sql" / "summaries" / "mode_summary.sql").write_text(SUMMARY_SQL, "utf-8")
    if with_entry:
        entry = SUMMARY_ENTRY if with_key else SUMMARY_ENTRY.replace("            key=1,\n", "")
        insert(tables / "registry.py", '        Table(\n            "load_history"', entry)


def add_column(folder: Path) -> None:
    package = folder / "anomaly_assets"
    insert(package / "tables" / "registry.py", RUN_ID, COLUMN_ENTRY)
    insert(package / "decoding" / "batch.py", '        "channel_sums": tensor.', COLUMN_VALUE)


def test_a_summary_and_a_column_are_published_digested_documented_and_migrated(
    copied: Path,
) -> None:
    before = published(copied, "SELECT snapshot_id FROM snapshots")
    add_summary(copied)
    add_column(copied)
    shutil.copy(copied / "data/samples/mvtec_ad/bolt/train/good/000.png", copied / "new.png")
    (copied / "new.png").rename(copied / "data/samples/mvtec_ad/bolt/train/good/900.png")

    materialize(copied)

    # The file of the first release gets both; only images that were decoded later have the value.
    assert published(copied, "SELECT count(*), count(smallest_side) FROM image_tensors") == [
        (63, 1)
    ]
    [(images,)] = published(copied, "SELECT sum(images)::INTEGER FROM mode_summary")
    assert images == 63
    assert published(copied, "SELECT count(*) FROM anomaly.mode_summary") != [(0,)]
    after = published(copied, "SELECT snapshot_id, row_counts['mode_summary'] FROM snapshots")
    assert len(after) == 2
    assert [count for _, count in after if count]
    assert before[0] in [row[:1] for row in after]
    assert published(copied, _COMMENT) == [("shorter side of the file, pixels",)]
    assets = run(copied, "-m", "dagster", "asset", "list", "-m", "anomaly_assets.definitions")
    assert "mode_summary" in assets.stdout
    # The rows of the summary are part of the snapshot id: content that differs is published again.
    sql = copied / "anomaly_assets/tables/sql/summaries/mode_summary.sql"
    sql.write_text(SUMMARY_SQL.replace("count(*)", "count(*) + 1"), "utf-8")
    materialize(copied)
    assert len(published(copied, "SELECT snapshot_id FROM snapshots")) == 3


CAMERA = '    Column("camera", "VARCHAR", "camera"),\n'


def test_a_catalogue_takes_a_new_column_and_one_that_may_be_null_now(copied: Path) -> None:
    package = copied / "anomaly_assets"
    registry = package / "tables" / "registry.py"
    required = '"name of the file, which is not unique", nullable=False),'
    content = registry.read_text("utf-8")
    assert content.count(required) == 1
    optional = required.replace(", nullable=False", "")
    registry.write_text(content.replace(required, f"{optional}\n{CAMERA}"), "utf-8")
    rows = package / "catalogue" / "image_rows.py"
    content = rows.read_text("utf-8")
    name = 'pc.replace_substring_regex(names, "^(?s:.*)/", "")'
    value = f'            "filename": {name},\n'
    assert content.count(value) == 1
    of_test = f"[n if d[1] == 'test' else None for n, d in zip({name}.to_pylist(), decided)]"
    both = f'            "filename": {of_test},\n            "camera": ["left"] * len(names),\n'
    rows.write_text(content.replace(value, both), "utf-8")

    materialize(copied)

    counts = "SELECT count(*), count(filename), count(camera) FROM images"
    assert published(copied, counts) == [(62, 30, 62)]
    assert published(copied, "SELECT count(DISTINCT run_id) FROM image_tensors") == [(1,)]


@pytest.mark.parametrize(
    ("with_entry", "with_key", "message"),
    [
        (False, True, "mode_summary: a summary needs an entry with `made_from`"),
        (True, False, "mode_summary: set `key` to the number of its first columns"),
    ],
)
def test_half_of_a_summary_fails_at_import(
    tmp_path: Path, with_entry: bool, with_key: bool, message: str
) -> None:
    shutil.copytree(PROJECT / "anomaly_assets", tmp_path / "anomaly_assets")
    add_summary(tmp_path, with_entry=with_entry, with_key=with_key)
    done = run(tmp_path, "-c", "import anomaly_assets.definitions")
    assert done.returncode != 0
    assert message in done.stderr
