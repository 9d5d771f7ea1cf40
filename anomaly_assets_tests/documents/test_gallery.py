"""Test docs/gallery.md: its commands and its query work, and its table names every kind of file."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import duckdb
import pytest

from anomaly_assets.cli.app import main
from anomaly_assets.previews.tiles import update_previews
from anomaly_assets_tests.documents.markdown import PROJECT, blocks
from anomaly_assets_tests.export.published import PICTURES, files_below, publish_project
from anomaly_assets_tests.warehouse.project import SPEC, Project

BLOCKS = [*blocks(PROJECT, "docs/gallery.md")]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = Project.at(tmp_path_factory.mktemp("gallery"))
    project.save(PICTURES)
    project.list_files()
    project.build(SPEC)
    with project.warehouse.connect() as connection:
        update_previews(connection, 1)
    return publish_project(project)


def test_the_commands_write_a_gallery_with_the_files_of_the_table(
    database: Path, tmp_path: Path
) -> None:
    first, second = (block.text for block in BLOCKS if block.language == "sh")
    assert first == "make gallery\n"
    assert "\ngallery: $(COMMAND)" in (PROJECT / "Makefile").read_text("utf-8")
    out = tmp_path / "parts"
    command = second.replace("/srv/www/parts", str(out)).replace(
        "/srv/anomaly.duckdb", str(database)
    )
    program, *arguments = shlex.split(command)
    assert program == "anomaly-assets"
    assert main(arguments) == 0
    page = (PROJECT / "docs/gallery.md").read_text("utf-8")
    named = re.findall(r"`([^`]+\.(?:html|css|js))`", page)
    patterns = [re.escape(name).replace(r"\*", "[^/]*").replace("…", "[^/]*") for name in named]
    written = [path for path in files_below(out) if not path.startswith(".")]
    assert [
        path for path in written if not any(re.fullmatch(each, path) for each in patterns)
    ] == []


def test_the_query_returns_previews(database: Path) -> None:
    [query] = [block.text for block in BLOCKS if block.language == "sql"]
    with duckdb.connect(str(database), read_only=True) as connection:
        rows = connection.execute(query).fetchall()
    assert rows
    assert all(bytes(row[3])[8:12] == b"WEBP" for row in rows)
