"""Check the steps of the workshop: each check prints "passed", or what is missing and what to do about it.

The checks read the database and dlt's state of the last run, never the code of the participant: every
solution with the right result passes. No check raises because a step is unsolved.
"""

from __future__ import annotations

import json
import textwrap
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import dlt
import duckdb
from stand_in import NEW_FIELD, REVISED_ON_DAY_1, Api, StandIn

TABLE = "earthquakes"
NEW_COLUMN = f"properties__{NEW_FIELD}"


class NotYetError(Exception):
    """A step is not solved yet: a sentence about what is missing, and one about what to do."""

    def __init__(self, missing: str, what_to_do: str) -> None:
        super().__init__(missing)
        self.missing = missing
        self.what_to_do = what_to_do


class Checkpoints:
    """One method per step.

    Args:
        api: Source of the earthquakes; it returns how many there should be.
        pipeline: Pipeline that loaded them.
    """

    def __init__(self, api: Api, pipeline: dlt.Pipeline) -> None:
        self.api = api
        self.pipeline = pipeline

    def step_0(self) -> None:
        """Check that the API answers."""
        _report(0, self._api_answers)

    def step_1(self) -> None:
        """Check that a table has a page of earthquakes."""
        _report(1, self._first_load)

    def step_2(self) -> None:
        """Check that there are as many rows as the API counts."""
        _report(2, self._all_pages)

    def step_3(self) -> None:
        """Check that magnitudes are in one column of the right type."""
        _report(3, self._one_magnitude_column)

    def step_4(self) -> None:
        """Check that a second run has added no second copy."""
        _report(4, self._no_duplicates)

    def step_5(self) -> None:
        """Check that the last run requested only changes, and got only changes."""
        _report(5, self._only_changes)

    def step_6(self) -> None:
        """Check that new earthquakes have arrived without their new property."""
        _report(6, self._contract)

    def _api_answers(self) -> str:
        return f"{self.api.name} API answers; it has {self._expected()} earthquakes of that week."

    def _first_load(self) -> str:
        rows, _ = self._rows()
        if rows != 20:
            raise NotYetError(
                f"The table has {rows} rows, and one page has 20.",
                "Keep limit at 20 and refresh='drop_sources' in run(), then run the cell above again.",
            )
        return "20 earthquakes are in DuckDB, and you wrote no CREATE TABLE."

    def _all_pages(self) -> str:
        rows, _ = self._rows()
        expected = self._expected()
        if abs(rows - expected) > self._tolerance:
            raise NotYetError(
                f"The API counts {expected} earthquakes, the table has {rows}.",
                "Replace the paginator by OffsetPaginator(limit=20, offset=1, total_path=None), "
                "then run the cell above again.",
            )
        return f"all {rows} earthquakes, page by page, as many as the API counts."

    def _one_magnitude_column(self) -> str:
        self._rows()
        columns = self.pipeline.default_schema.get_table_columns(TABLE)
        variants = [name for name in columns if name.startswith("properties__mag__v_")]
        if variants:
            raise NotYetError(
                f"Magnitudes are in two columns: properties__mag and {variants[0]}.",
                'Set the type: columns={"properties__mag": {"data_type": "double"}}. '
                "Then run the cell above again; it begins with refresh='drop_sources'.",
            )
        found = columns["properties__mag"].get("data_type")
        if found != "double":
            raise NotYetError(
                f"properties__mag is of type {found}: the next decimal will open a second column.",
                'Set the type: columns={"properties__mag": {"data_type": "double"}}.',
            )
        return "every magnitude is in one column, a double."

    def _no_duplicates(self) -> str:
        rows, different = self._rows()
        if rows > different:
            raise NotYetError(
                f"The table has {rows} rows for {different} earthquakes: each run added them again.",
                'Set write_disposition="merge" and primary_key="id", then run the cell above again.',
            )
        if self._loads() < 2:
            raise NotYetError(
                "There was one run only, which proves nothing.",
                "Leave both pipeline.run lines in the cell above and run it again.",
            )
        hints = self.pipeline.default_schema.get_table(TABLE)
        if hints.get("write_disposition") != "merge":
            raise NotYetError(
                f"There are no duplicates, but write_disposition is {hints.get('write_disposition')}.",
                'Set write_disposition="merge": replace would throw away what the API forgets.',
            )
        return f"two runs, {rows} rows, {different} earthquakes."

    def _only_changes(self) -> str:
        rows, different = self._rows()
        if rows > different:
            raise NotYetError(
                f"The table has {rows} rows for {different} earthquakes.",
                'Keep write_disposition="merge" and primary_key="id" from step 4.',
            )
        loaded = self._rows_of_last_run()
        if loaded >= 0.5 * rows:
            raise NotYetError(
                f"The last run loaded {loaded} rows, which is nearly everything again.",
                'Give the function the argument updated=dlt.sources.incremental("properties.updated", '
                "initial_value=0), and send updatedafter to the API.",
            )
        if isinstance(self.api, StandIn):
            if "updatedafter" not in self.api.requests[-1].parameters:
                raise NotYetError(
                    "dlt dropped the old rows, but the API was asked for all of them.",
                    'Set params["updatedafter"] = iso(updated.last_value) before the loop.',
                )
            self._day_1_has_arrived()
        return (
            f"the second run asked for changes only and loaded {loaded} rows; the table has {rows}."
        )

    def _day_1_has_arrived(self) -> None:
        if self.api.day != 1:
            raise NotYetError(
                f"It is day {self.api.day}.", "Leave the line api.day = 1 between the two runs."
            )
        query = "SELECT id, properties__mag FROM earthquakes WHERE list_contains($ids, id)"
        found = dict(self._ask(query, ids=list(REVISED_ON_DAY_1)))
        if found != REVISED_ON_DAY_1:
            raise NotYetError(
                f"Two earthquakes were revised to {REVISED_ON_DAY_1}; the table has {found}.",
                'Follow "properties.updated" and not "properties.time": '
                "a revision changes the first only.",
            )

    def _contract(self) -> str:
        if not isinstance(self.api, StandIn):
            return "skipped: only the stand-in changes its schema on demand."
        self._rows()
        if NEW_COLUMN in self.pipeline.default_schema.get_table_columns(TABLE):
            raise NotYetError(
                f"A column {NEW_COLUMN} has appeared, because the API has a new property.",
                'Set schema_contract={"columns": "discard_value"}, then run the cell above again.',
            )
        expected = self._expected()
        rows, _ = self._rows()
        if rows != expected:
            raise NotYetError(
                f"The API counts {expected} earthquakes, the table has {rows}.",
                'With "freeze" the load fails, with "discard_row" the row is gone: '
                'take {"columns": "discard_value"}.',
            )
        return f"all {rows} earthquakes are there, and the table has kept its columns."

    @property
    def _tolerance(self) -> int:
        # On the live API an earthquake can happen between the load and the count.
        return 0 if isinstance(self.api, StandIn) else 5

    def _expected(self) -> int:
        parameters = urlencode(self.api.params)
        try:
            with urllib.request.urlopen(f"{self.api.url}/count?{parameters}", timeout=30) as answer:
                return int(json.load(answer)["count"])
        except OSError as error:
            raise NotYetError(
                f"{self.api!r} does not answer: {error}.",
                'Write earthquake_api("stand-in") in the setup cell and run all cells from there.',
            ) from error

    def _rows(self) -> tuple[int, int]:
        """Return the number of rows in the table, and of different earthquakes."""
        [(rows, different)] = self._ask("SELECT count(*), count(DISTINCT id) FROM earthquakes")
        if rows == 0:
            raise _nothing_loaded()
        return rows, different

    def _loads(self) -> int:
        [(loads,)] = self._ask("SELECT count(DISTINCT load_id) FROM _dlt_loads")
        return loads

    def _rows_of_last_run(self) -> int:
        trace = self.pipeline.last_trace
        info = trace.last_normalize_info if trace else None
        return info.row_counts.get(TABLE, 0) if info else 0

    def _ask(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        credentials: Any = self.pipeline.destination_client().config.credentials
        # Not read-only: one process cannot open a file in two ways, and the notebook writes it.
        try:
            with duckdb.connect(credentials.database) as connection:
                connection.execute(f"USE {self.pipeline.dataset_name}")
                return connection.execute(query, parameters).fetchall()
        except duckdb.CatalogException as error:
            raise _nothing_loaded() from error
        except duckdb.Error as error:
            raise NotYetError(
                f"The database cannot be read: {str(error).splitlines()[0]}",
                "Close every other program and notebook that has the file open.",
            ) from error


def _nothing_loaded() -> NotYetError:
    return NotYetError(
        "There is no earthquake in the database: the resource yielded nothing.",
        'Yield the list that is in the answer: response.json()["features"]. '
        "Then run the cell above again.",
    )


def _report(step: int, look: Callable[[], str]) -> None:
    try:
        passed = look()
    except NotYetError as error:
        print(_wrapped(f"✘ Checkpoint {step}, not yet. {error.missing}"))
        print(_wrapped(f"  → {error.what_to_do}", indent="    "))
    else:
        print(_wrapped(f"✔ Checkpoint {step} passed: {passed}"))


def _wrapped(sentence: str, indent: str = "  ") -> str:
    return textwrap.fill(
        sentence, 88, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
