"""Test every message of the troubleshooting sheet, provoked with the installed versions."""

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from dlt.sources.helpers import requests
from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.paginators import OffsetPaginator

from anomaly_assets_tests.notebooks.workshop import FOLDER, blocks, module

ROWS = [{"id": "a", "updated": 110}]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.setenv("RUNTIME__HTTP_SHOW_ERROR_BODY", "true")


@pytest.fixture
def pipeline(tmp_path: Path) -> dlt.Pipeline:
    return _pipeline(destination="duckdb")


@pytest.fixture
def stand_in() -> Iterator[Any]:
    api = module("stand_in").StandIn()
    yield api
    api.close()


@pytest.fixture
def warnings() -> Iterator[Callable[[], str]]:
    """Yield a function that returns dlt's log, which dlt hides from pytest."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler, logger = Keep(), logging.getLogger("dlt")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    yield lambda: "\n".join(lines)
    logger.removeHandler(handler)
    logger.setLevel(level)


def _pipeline(**arguments: Any) -> dlt.Pipeline:
    return dlt.pipeline("provoked", pipelines_dir="pipelines", dataset_name="usgs", **arguments)


def _resource(cursor: str, initial_value: Any = 0) -> Any:
    follow = dlt.sources.incremental(cursor, initial_value=initial_value)

    @dlt.resource(name="earthquakes")
    def earthquakes(updated: Any = follow) -> Any:
        yield ROWS

    return earthquakes()


def _message(failing: Callable[[], object]) -> str:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - the message is what is looked at
        failing()
    return str(raised.value)


def _python(program: str, folder: Path) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stderr


class TestInTheWorkshop:
    def test_a_notebook_without_its_modules(self, tmp_path: Path) -> None:
        _says("No module named 'stand_in'", _python("import stand_in", tmp_path))

    def test_a_check_before_the_setup(self, tmp_path: Path) -> None:
        _says("name 'pipeline' is not defined", _python("pipeline.run()", tmp_path))

    def test_a_stand_in_that_has_ended(self, stand_in: Any) -> None:
        stand_in.close()
        client = RESTClient(stand_in.url, session=requests.Client(request_max_attempts=1).session)
        _says("Connection refused", _message(lambda: client.get("/query")))

    def test_an_offset_of_0(self, stand_in: Any) -> None:
        said = _message(lambda: _pages(stand_in, total_path=None))
        _says("400 Client Error: Bad Request for url", said)
        assert 'Bad offset value "0"' in said

    def test_a_paginator_without_a_total(self, stand_in: Any) -> None:
        _says(
            "Total `items` not found in the response in `OffsetPaginator`",
            _message(lambda: _pages(stand_in, offset=1)),
        )


def _pages(api: Any, **arguments: Any) -> list[Any]:
    paginator = OffsetPaginator(limit=20, **arguments)
    return list(RESTClient(api.url).paginate("/query", params=api.params, paginator=paginator))


class TestRows:
    def test_a_function_without_yield(self, pipeline: dlt.Pipeline) -> None:
        @dlt.resource
        def earthquakes() -> Any:
            len(ROWS)

        _says(
            "Did you forget the return statement in @dlt.resource decorated function?",
            _message(lambda: pipeline.run(earthquakes())),
        )

    def test_a_single_dictionary(self, pipeline: dlt.Pipeline) -> None:
        _says(
            "If you want to process just one data item, enclose it in a list.",
            _message(lambda: pipeline.run(ROWS[0], table_name="earthquakes")),
        )

    def test_a_list_without_a_name(self, pipeline: dlt.Pipeline) -> None:
        _says("Resource name is missing.", _message(lambda: pipeline.run(ROWS)))

    def test_a_generator_that_was_printed(self, pipeline: dlt.Pipeline) -> None:
        rows = iter(row for row in ROWS)
        list(rows)
        said = _message(lambda: pipeline.run(rows, table_name="earthquakes"))
        _says("is exhausted or has active iterator", said)


class TestIncremental:
    def test_a_cursor_named_as_in_the_database(self, pipeline: dlt.Pipeline) -> None:
        _says(
            "was not found in extracted data item. All data items must contain this path.",
            _message(lambda: pipeline.run(_resource("properties__updated"))),
        )

    def test_a_cursor_that_begins_as_text(self, pipeline: dlt.Pipeline) -> None:
        _says(
            "Could not coerce `start_value/initial_value` with value",
            _message(lambda: pipeline.run(_resource("updated", "2026-01-01"))),
        )

    def test_a_second_run_with_nothing_new(self, pipeline: dlt.Pipeline) -> None:
        pipeline.run(_resource("updated"))
        _says(
            "0 load package(s) were loaded to destination duckdb",
            str(pipeline.run(_resource("updated"))),
        )


class TestTables:
    def test_a_column_of_nulls(self, pipeline: dlt.Pipeline, warnings: Callable[[], str]) -> None:
        pipeline.run([{"id": "a", "tz": None}], table_name="earthquakes")
        _says(
            "did not receive any data during this load and therefore could not have their types inferred",
            warnings(),
        )

    def test_a_merge_without_keys(
        self, pipeline: dlt.Pipeline, warnings: Callable[[], str]
    ) -> None:
        pipeline.run(ROWS, table_name="earthquakes", write_disposition="merge")
        _says("but no primary or merge keys defined", warnings())

    def test_a_broken_contract_and_the_run_after_it(
        self, pipeline: dlt.Pipeline, warnings: Callable[[], str]
    ) -> None:
        pipeline.run(ROWS, table_name="earthquakes")
        new = [{"id": "b", "updated": 120, "new": 1}]
        said = _message(
            lambda: pipeline.run(
                new, table_name="earthquakes", schema_contract={"columns": "freeze"}
            )
        )
        _says("with `contract_mode=freeze` is violated", said)

        _message(lambda: pipeline.run(ROWS, table_name="earthquakes"))
        _says("The data you passed to the run function will not be extracted.", warnings())

        pipeline.abort_packages()
        assert len(pipeline.run(ROWS, table_name="earthquakes").loads_ids) == 1


class TestDatabase:
    def test_a_second_process(self, tmp_path: Path) -> None:
        with duckdb.connect("provoked.duckdb"):
            said = _python("import duckdb; duckdb.connect('provoked.duckdb')", tmp_path)
        _says("Could not set lock on file", said)
        assert "PID" in said

    def test_a_second_connection_that_only_reads(self, pipeline: dlt.Pipeline) -> None:
        pipeline.run(ROWS, table_name="earthquakes")
        with duckdb.connect("provoked.duckdb", read_only=True):
            said = _message(lambda: pipeline.run(ROWS, table_name="earthquakes"))
        _says("Can't open a connection to same database file with a different configuration", said)

    def test_a_table_without_its_schema(self, pipeline: dlt.Pipeline) -> None:
        pipeline.run(ROWS, table_name="earthquakes")
        with duckdb.connect("provoked.duckdb") as database:
            _says(
                "Table with name earthquakes does not exist!",
                _message(lambda: database.sql("SELECT * FROM earthquakes")),
            )


class TestConfiguration:
    def test_no_destination(self) -> None:
        _says(
            "Configuration element `destination` was not provided",
            _message(lambda: _pipeline().run(ROWS, table_name="earthquakes")),
        )

    def test_a_missing_secret(self, pipeline: dlt.Pipeline) -> None:
        @dlt.resource
        def earthquakes(api_key: str = dlt.secrets.value) -> Any:
            yield {"id": api_key}

        said = _message(lambda: pipeline.run(earthquakes()))
        _says("Missing 1 field(s) in configuration", said)
        assert "(Environment Variables, API_KEY)" in said


def _says(documented: str, said: str) -> None:
    assert documented in said
    assert f"{documented}\n" in list(blocks("troubleshooting.md", "text")), "not in the sheet"


def test_every_message_of_the_sheet_is_provoked_here() -> None:
    provoked = Path(__file__).read_text("utf-8")
    for message in blocks("troubleshooting.md", "text"):
        assert f'"{message.strip()}"' in provoked


def test_the_folder_of_the_workshop_is_where_the_tests_look() -> None:
    assert (FOLDER / "troubleshooting.md").is_file()
