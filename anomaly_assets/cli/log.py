"""Print the history: what was loaded, published, evaluated, corrected, removed or refused, when."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import click
import duckdb

from anomaly_assets.cli.running import (
    AtLeast,
    CommandError,
    examples,
    expected,
    not_empty,
    warn_of_unknown_variables,
)
from anomaly_assets.datasets.names import shown
from anomaly_assets.locations import is_file, parse_location
from anomaly_assets.settings import Settings, published_database
from anomaly_assets.signals import begin_reading
from anomaly_assets.tables.history import EVENTS, Event, newest_events
from anomaly_assets.warehouse.open import open_read_only
from anomaly_assets.warehouse.open_published import DatabaseError

_COLUMNS = 80
_INDENT = " " * len("2026-11-29 09:00  ")
_DEFAULT_EVENTS = 20


@click.command(
    epilog=examples(
        "anomaly-assets log",
        "anomaly-assets log --event refused --event failed",
        "anomaly-assets log --source-dataset mvtec_ad -n 100",
        "anomaly-assets log --database /srv/anomaly.duckdb",
    )
)
@click.option(
    "-n",
    "limit",
    type=AtLeast(1),
    default=_DEFAULT_EVENTS,
    show_default=True,
    help="Number of events.",
)
@click.option("--source-dataset", callback=not_empty, help="Only its events, and publications.")
@click.option(
    "--event",
    "events",
    type=click.Choice(EVENTS),
    multiple=True,
    help="Only these events; may be repeated.",
)
@click.option(
    "--database",
    callback=not_empty,
    metavar="LOCATION",
    help="Read a DuckDB file, ducklake:postgres:… or md:NAME.",
)
def command(
    limit: int, source_dataset: str | None, events: tuple[str, ...], database: str | None
) -> None:
    """Print what was loaded, published, corrected, evaluated, removed or refused, newest first.

    Reads the warehouse, or the published database if there is no warehouse here or a run has it open. A
    published database has the events up to its publication.
    """
    begin_reading()
    warn_of_unknown_variables()
    with (
        expected(duckdb.IOException, FileNotFoundError, LookupError),
        _opened(database) as (name, connection),
    ):
        try:
            found, matching = newest_events(
                connection, limit, source_dataset=source_dataset, events=events
            )
        except duckdb.CatalogException:
            raise CommandError(
                f"{name} has no table history yet. `anomaly-assets materialize` adds it."
            ) from None
    print(f"{name}, newest first, times in UTC")
    for event in found:
        print("\n".join(lines_of(event)))
    if not found:
        print("No event.")
    elif matching > len(found):
        print(f"… and {matching - len(found):,} earlier events: -n {matching}")


def lines_of(event: Event) -> list[str]:
    """Return an event as lines of at most 80 columns; a longer path stays whole, so it can be copied."""
    dataset = f" {event.source_dataset}:" if event.source_dataset else ""
    lines = textwrap.wrap(
        f"{event.event}{dataset} {shown(event.detail)}",
        _COLUMNS,
        initial_indent=f"{event.happened_at:%Y-%m-%d %H:%M}  ",
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines if event.root_uri is None else [*lines, f"{_INDENT}from {shown(event.root_uri)}"]


@contextmanager
def _opened(database: str | None) -> Iterator[tuple[str, duckdb.DuckDBPyConnection]]:
    """Open the named database, else the warehouse, else the published one; yield its name and it."""
    location = database or Settings.from_environment().warehouse
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(open_read_only(location))
        except (FileNotFoundError, DatabaseError) as error:
            if database is not None:
                raise
            if isinstance(error, DatabaseError):
                print(f"{error} This is the log of the published database.", file=sys.stderr)
            location = published_database()
            connection = stack.enter_context(open_read_only(location))
        yield location if is_file(location) else parse_location(location).name, connection
