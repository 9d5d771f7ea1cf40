"""Store the results of all checks in the tables `quality` and `quality_images`, which are published.

The rows follow from the content of the warehouse alone: they have no time and no run, so a run that changes
nothing writes nothing, and every run gives the same rows, however it was started. They are not part of the
snapshot id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass

import duckdb

from anomaly_assets.errors import WarehouseError
from anomaly_assets.tables.check_queries import CheckQueries
from anomaly_assets.tables.checks import (
    CHECKS,
    FURTHER,
    STRAY_CHECKS,
    Check,
    Finding,
    affected_images,
    evaluate,
)
from anomaly_assets.tables.registry import TABLES
from anomaly_assets.tables.source_datasets import stored_names
from anomaly_assets.tables.sql_text import sql_literal

MOST_AFFECTED = 10_000
"""Limit for rows of `quality_images` of one failed check; `quality` counts all."""

QUALITY_TABLES = ("quality", "quality_images")

Digest = tuple[object, ...]
"""Number of rows and sum of their hashes, for each of `QUALITY_TABLES`."""


@dataclass(frozen=True)
class Result:
    """Row of `quality`; `registry.py` describes the columns."""

    asset: str
    check_name: str
    passed: bool
    severity: str
    affected: int
    sentence: str
    query: str | None


Affected = tuple[str, str, int, "str | None", str, "str | None"]
"""Row of `quality_images`."""


def update_quality(connection: duckdb.DuckDBPyConnection) -> list[Result]:
    """Evaluate all checks, replace the rows of both tables if they differ, and return those of `quality`.

    Args:
        connection: A warehouse whose blocking checks pass; its write lock is held.
    """
    results: list[Result] = []
    named: list[Affected] = []
    for asset, check, finding in _findings(connection):
        results.append(_result(asset, check, finding))
        if not finding.passed:
            files = [
                (name if check.of_images else None, name, detail) for name, detail in finding.shown
            ]
            files += [(name, name, None) for name in _others(connection, check, finding)]
            named += [
                (asset, check.name, place, *of) for place, of in enumerate(files[:MOST_AFFECTED], 1)
            ]
    rows = {"quality": [astuple(result) for result in results], "quality_images": named}
    stored = {name: connection.execute(f"FROM {name}").fetchall() for name in QUALITY_TABLES}
    if changed := {name: of for name, of in rows.items() if {*of} != {*stored[name]}}:
        connection.begin()
        for name, of in changed.items():
            _replace(connection, name, of)
        connection.commit()
    return results


def failed(connection: duckdb.DuckDBPyConnection) -> list[Result]:
    """Return the rows of `quality` with failed checks; none in a database of an earlier release."""
    query = "FROM quality WHERE NOT passed"
    with suppress(duckdb.CatalogException):
        return [Result(*row) for row in connection.execute(query).fetchall()]
    return []


def quality_digest(
    connection: duckdb.DuckDBPyConnection, before: str = "", after: str = ""
) -> Digest | None:
    """Return a digest of both tables; None if the database has none, as in earlier releases.

    Args:
        connection: A connection to the database.
        before: Database and schema, with a dot at the end; empty for the current ones.
        after: What follows the name of a table, such as a version of a lake.
    """
    found: list[object] = []
    for name in QUALITY_TABLES:
        query = f"SELECT count(*), sum(hash(rows)) FROM (FROM {before}{name} {after}) AS rows"  # noqa: S608
        try:
            found += connection.execute(query).fetchall()
        except (duckdb.CatalogException, duckdb.BinderException):
            return None
    return tuple(found)


def _findings(connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, Check, Finding]]:
    """Yield asset, check and finding of every check whose tables exist.

    Blocking checks are not evaluated: nothing is published while one of them fails.
    """
    queries, checked = CheckQueries(connection), [*_checked(connection)]
    names = [f"checks/{check.name}" for _, _, checks in checked for check in checks]
    with queries.labels_at_hand(names):
        for asset, source_dataset, checks in checked:
            others = [check for check in checks if not check.blocking]
            for check in checks:
                if check.blocking:
                    yield asset, check, Finding(0, [])
            with suppress(WarehouseError):  # a partial run has not made the table yet
                for check, finding in evaluate(
                    connection,
                    *others,
                    source_dataset=source_dataset,
                    most=MOST_AFFECTED,
                    queries=queries,
                ):
                    yield asset, check, finding


def _checked(
    connection: duckdb.DuckDBPyConnection,
) -> Iterator[tuple[str, str | None, Sequence[Check]]]:
    """Yield assets, their source dataset and their checks, by what the warehouse holds.

    The graph of a process may lack a source dataset of the warehouse, and have others.
    """
    for name in stored_names(connection):
        yield f"{name}/stray_files", name, STRAY_CHECKS
    for asset, checks in CHECKS.items():
        yield asset, None, checks


def _others(connection: duckdb.DuckDBPyConnection, check: Check, finding: Finding) -> Sequence[str]:
    """Return further images that a check is about, such as the copies of those that it names."""
    if check.name not in FURTHER:
        return ()
    shown = {name for name, _ in finding.shown}
    return [name for name in affected_images(connection, check.name) if name not in shown]


def _result(asset: str, check: Check, finding: Finding) -> Result:
    is_told = finding.empty or not finding.passed
    joined = " LEFT JOIN anomaly.effective_images USING (image_id)" if check.of_images else ""
    rows = f"asset = {sql_literal(asset)} AND check_name = {sql_literal(check.name)}"
    query = f"FROM anomaly.quality_images{joined} WHERE {rows} ORDER BY place"
    return Result(
        asset,
        check.name,
        finding.passed,
        "error" if check.blocking else "warning",
        finding.count,
        check.verdict(finding, shown=False) if is_told else check.description,
        None if finding.passed else query,
    )


def _replace(
    connection: duckdb.DuckDBPyConnection, name: str, rows: Sequence[tuple[object, ...]]
) -> None:
    """Replace the rows of a table. They go through Arrow: `executemany` needs a millisecond a row."""
    import pyarrow as pa

    connection.execute(f"DELETE FROM {name}")  # noqa: S608
    columns = TABLES[name].column_names
    if rows:
        values = dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))
        connection.register("new_quality", pa.table(values))
        connection.execute(f"INSERT INTO {name} BY NAME FROM new_quality")
        connection.unregister("new_quality")
