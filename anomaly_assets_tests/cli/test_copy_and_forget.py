"""Test `anomaly-assets copy`, `forget` and `expire` on files, called in this process."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from anomaly_assets.cli.app import main
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.warehouse.conftest import loaded_once, project
from anomaly_assets_tests.warehouse.project import SPEC, Project

__all__ = ["loaded_once", "project"]

Screen = pytest.CaptureFixture[str]


@pytest.fixture
def settings(project: Project, environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the settings name a warehouse of nine images; return the path of its published file."""
    monkeypatch.setenv("ANOMALY_WAREHOUSE", str(project.warehouse.path))
    return environment.database


def printed(capsys: Screen, *arguments: str, code: int = 0) -> list[str]:
    """Run a command, and return the lines of its only stream."""
    assert main(arguments) == code
    found = capsys.readouterr()
    assert (found.out if code else found.err) == ""
    return (found.err if code else found.out).splitlines()


@pytest.mark.slow
def test_a_copy_is_compared_table_by_table(
    project: Project, settings: Path, capsys: Screen, tmp_path: Path
) -> None:
    project.warehouse.publish(settings, SPEC)
    copy = tmp_path / "copy.duckdb"
    lines = printed(capsys, "copy", "--from", str(settings), "--to", str(copy))
    assert any(line.startswith("main.image_tensors: 9 rows, md5 ") for line in lines)
    assert lines[-1].startswith("every table equals its source; ")
    assert lines[-1].endswith(" s, 9 tensors written")
    query = "SELECT image_id, content_sha256 FROM anomaly.samples ORDER BY ALL"
    found = []
    for path in (settings, copy):
        with duckdb.connect(str(path), read_only=True) as connection:
            found.append(connection.execute(query).fetchall())
    assert found[0] == found[1]
    assert len(found[0]) == 9


def test_a_copy_of_nothing_names_what_is_missing(
    settings: Path, capsys: Screen, tmp_path: Path
) -> None:
    missing, copy = tmp_path / "missing.duckdb", tmp_path / "copy.duckdb"
    [line] = printed(capsys, "copy", "--from", str(missing), "--to", str(copy), code=1)
    assert line.startswith("error: ")
    assert str(missing) in line
    assert not copy.exists()


def test_a_forgotten_dataset_is_gone_and_the_message_says_what_brings_it_back(
    project: Project, settings: Path, capsys: Screen
) -> None:
    [line] = printed(capsys, "forget", "dagm_2007")
    assert line == (
        f"dagm_2007: 3 images removed from {project.warehouse.path}. The published database keeps them "
        "until the next run. Its root would bring it back (DAGM_2007_ROOT names it): set DAGM_2007_ROOT "
        "to the empty string in every environment that refreshes this warehouse."
    )
    assert project.column("SELECT DISTINCT source_dataset FROM images") == ["mvtec_ad"]


def test_an_unknown_dataset_is_refused_and_nothing_is_removed(
    project: Project, settings: Path, capsys: Screen
) -> None:
    [line] = printed(capsys, "forget", "mvtec", code=1)
    assert line.startswith("error: ")
    assert "mvtec" in line
    assert project.column("SELECT count(*) FROM images") == [9]


def test_versions_of_a_file_are_not_expired(
    project: Project, settings: Path, capsys: Screen
) -> None:
    [line] = printed(capsys, "expire", "--keep", "1", code=1)
    assert line.startswith("error: ")
    assert line.endswith(": only a lake has versions that can expire.")
