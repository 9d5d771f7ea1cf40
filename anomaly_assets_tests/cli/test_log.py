"""Test `anomaly-assets log`: what it reads, and that it can be read in 80 columns."""

from __future__ import annotations

import re
import shutil
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from anomaly_assets.cli.app import main
from anomaly_assets.cli.log import lines_of
from anomaly_assets.tables.history import Event, StepEvent, note_step_events
from anomaly_assets_tests.assets.environment import Environment
from anomaly_assets_tests.warehouse.conftest import loaded_once, project
from anomaly_assets_tests.warehouse.project import SPEC, Project

__all__ = ["loaded_once", "project"]

Screen = pytest.CaptureFixture[str]
AT = datetime(2026, 11, 29, 9, 41, 59)


@pytest.fixture
def published(
    project: Project, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> Environment:
    """Publish nine images; after that, a run is refused."""
    monkeypatch.setenv("ANOMALY_WAREHOUSE", str(project.warehouse.path))
    project.warehouse.publish(environment.database, SPEC)
    with project.warehouse.connect() as connection:
        note_step_events(
            connection, "run", [StepEvent("mvtec_ad", "refused", "It shrank.", "mvtec_ad", "/mv")]
        )
    return environment


def printed(capsys: Screen, *arguments: str, code: int = 0) -> tuple[list[str], str]:
    """Run the command; return its lines and what it printed to stderr."""
    assert main(["log", *arguments]) == code
    found = capsys.readouterr()
    return found.out.splitlines(), found.err


@pytest.mark.slow
@pytest.mark.usefixtures("published")
def test_the_log_of_the_warehouse_has_each_event_newest_first(
    project: Project, capsys: Screen
) -> None:
    lines, error = printed(capsys)
    assert error == ""
    assert lines[0] == f"{project.warehouse.path}, newest first, times in UTC"
    assert lines[1].endswith("  refused mvtec_ad: It shrank.")
    assert lines[2] == "                  from /mv"
    texts = [re.sub("^[-0-9]{10} [0-9:]{5}  ", "", line) for line in lines[1:]]
    assert texts[2].startswith("published 9 samples of dagm_2007, mvtec_ad, snapshot")
    assert {text for text in texts if text.startswith("loaded")} == {
        "loaded mvtec_ad: 6 new",
        "loaded dagm_2007: 3 new",
    }


@pytest.mark.usefixtures("published")
def test_events_are_chosen_and_counted(capsys: Screen) -> None:
    lines, _ = printed(capsys, "-n", "1")
    assert lines[-1] == "… and 3 earlier events: -n 4"
    lines, _ = printed(capsys, "--event", "loaded", "--source-dataset", "dagm_2007")
    assert lines[1].endswith("  loaded dagm_2007: 3 new")
    assert len(lines) == 3
    lines, _ = printed(capsys, "--event", "removed")
    assert lines[1:] == ["No event."]


def test_while_a_run_has_the_warehouse_open_the_published_database_is_read(
    published: Environment, monkeypatch: pytest.MonkeyPatch, capsys: Screen
) -> None:
    # Another process holds the lock; within one process DuckDB has another message.
    monkeypatch.setenv("ANOMALY_WAREHOUSE", str(published.database.parent))
    assert printed(capsys, code=1)[0] == []
    busy = published.database.with_name("busy.duckdb")
    shutil.copyfile(published.database, busy)
    monkeypatch.setenv("ANOMALY_WAREHOUSE", str(busy))
    with duckdb.connect(str(busy)) as writer:
        writer.execute("CREATE TABLE something (a INTEGER)")
        lines, error = printed(capsys)
    assert lines[0].startswith(f"{published.database}, ")
    assert not any("refused" in line for line in lines)
    assert error.endswith("This is the log of the published database.\n")


@pytest.mark.slow
def test_without_a_warehouse_the_published_database_is_read(
    published: Environment, monkeypatch: pytest.MonkeyPatch, capsys: Screen, tmp_path: Path
) -> None:
    monkeypatch.setenv("ANOMALY_WAREHOUSE", str(tmp_path / "nowhere.duckdb"))
    lines, error = printed(capsys)
    assert lines[0].startswith(f"{published.database}, ")
    assert error == ""
    assert not (tmp_path / "nowhere.duckdb").exists()


def test_without_any_database_the_command_says_how_to_make_one(
    environment: Environment, capsys: Screen
) -> None:
    lines, error = printed(capsys, code=1)
    assert lines == []
    assert error.startswith(f"error: {environment.database} does not exist: run `make materialize`")


@pytest.mark.slow
def test_a_database_of_an_earlier_release_has_no_history_yet(
    published: Environment, capsys: Screen
) -> None:
    with duckdb.connect(str(published.database)) as connection:
        connection.execute("DROP VIEW main.history")
    lines, error = printed(capsys, "--database", str(published.database), code=1)
    assert lines == []
    assert error == (
        f"error: {published.database} has no table history yet. "
        "`anomaly-assets materialize` adds it.\n"
    )


def test_lines_have_80_columns_and_names_have_no_control_characters() -> None:
    reason = "The root lists 1 image, 34 are loaded; nothing was changed. " * 4 + "\x1b[31mred"
    event = Event(AT, "refused", "mvtec_ad", reason, "file:///data/lines/4/mvtec")
    lines = lines_of(event)
    assert lines[0].startswith("2026-11-29 09:41  refused mvtec_ad: The root lists")
    assert all(len(line) <= 80 for line in lines)
    assert all(line.startswith(" " * 18) for line in lines[1:])
    assert lines[-1] == "                  from file:///data/lines/4/mvtec"
    assert "\x1b" not in "".join(lines)


def test_a_path_is_not_cut_so_that_it_can_be_copied() -> None:
    root = f"file:///data/{'a-long-folder/' * 9}mvtec"
    assert f"                  from {root}" in lines_of(
        Event(AT, "loaded", "mvtec_ad", "1 new", root)
    )


@pytest.mark.usefixtures("published")
def test_an_unknown_source_dataset_is_an_error_that_names_the_known_ones(capsys: Screen) -> None:
    lines, error = printed(capsys, "--source-dataset", "nope", code=1)
    assert lines == []
    assert error == (
        "error: source_dataset='nope' does not exist. Existing values: dagm_2007, mvtec_ad.\n"
    )
