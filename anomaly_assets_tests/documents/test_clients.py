"""Test that the lines of docs/clients.md run in environments that have only the client."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from anomaly_assets_tests.documents.markdown import PROJECT, Block, blocks
from anomaly_assets_tests.test_install import Empty, index

__all__ = ["index"]

pytestmark = pytest.mark.slow

PAGE = "docs/clients.md"
TEXT = (PROJECT / PAGE).read_text("utf-8")
HEADINGS = re.findall(r"^## (.*)$", TEXT, re.M)
EVERY_TABLE = """
import duckdb
connection = duckdb.connect("data/anomaly.duckdb", read_only=True)
names = connection.execute(
    "SELECT schema_name, table_name FROM duckdb_tables() UNION ALL "
    "SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal"
).fetchall()
for schema, name in names:
    connection.sql(f'SELECT * FROM "{schema}"."{name}"').fetchall()
for query in ("FROM anomaly.samples", "FROM samples_at('512x512x1')"):
    print(len(connection.sql(query).fetchall()))
print(len(names))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish the sample data to `data/anomaly.duckdb` of a folder; return the folder."""
    folder = tmp_path_factory.mktemp("clients")
    (folder / "home").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANOMALY_")}
    subprocess.run(
        [sys.executable, "-m", "anomaly_assets.cli", "materialize"],
        cwd=PROJECT,
        env={
            **kept,
            "ANOMALY_WAREHOUSE": str(folder / "warehouse.duckdb"),
            "ANOMALY_DATABASE": str(folder / "data" / "anomaly.duckdb"),
            "DAGSTER_HOME": str(folder / "home"),
        },
        check=True,
        capture_output=True,
    )
    return folder


@pytest.mark.parametrize("heading", HEADINGS)
@pytest.mark.usefixtures("index")
def test_a_client_alone_runs_its_lines(heading: str, folder: Path, tmp_path: Path) -> None:
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    [block] = [each for each in blocks(PROJECT, PAGE) if each.text in section]
    found = re.search(r"`(pip install [^`]+)`", section)
    installing = found[1] if found else "pip install duckdb"
    client = Empty(tmp_path)
    client.run(f"{installing.replace('duckdb ', 'duckdb==1.5.5 ')} --quiet")
    printed = client.run(_script(block), folder=folder)
    assert {
        "DuckDB in Python": "62 rows",
        "The DuckDB command line": "19 columns",
        "ibis": "62 in all",
        "Polars": "(62, 19)",
        "pandas": "(62, 19)",
        "Pixels": "(256, 256, 3) 196608",
    }[heading] in printed


@pytest.mark.usefixtures("index")
def test_duckdb_alone_reads_every_table_and_view(folder: Path, tmp_path: Path) -> None:
    client = Empty(tmp_path)
    client.run("pip install --quiet duckdb==1.5.5")
    assert "pytz" not in client.run("pip list")
    samples, further, tables = client.run(
        f"python - <<'END'\n{EVERY_TABLE}END", folder=folder
    ).split()
    assert (samples, further) == ("62", "28")
    assert int(tables) > 25


_ENDS = (
    ("rows =", "print(len(rows), 'rows')"),
    ("counts =", "print(counts.iloc[:, -1].sum(), 'in all')"),
    ("frame =", "print(frame.shape)"),
    ("found =", "print(found[:3], len(found[3]))"),
)


def _script(block: Block) -> str:
    """Return the lines of a block for a shell, with one that prints their result."""
    if block.language == "sh":
        return f"{block.text.rstrip()} | cat"
    [shown] = [line for name, line in _ENDS if name in block.text]
    return f"python - <<'END'\n{block.text}{shown}\nEND"
