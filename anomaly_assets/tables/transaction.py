"""Run statements in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import duckdb


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit the statements of the block together; after any error, none of them."""
    connection.begin()
    try:
        yield
        connection.commit()
    except BaseException:
        # A signal that aborted the commit has ended the transaction already.
        with suppress(duckdb.TransactionException):
            connection.rollback()
        raise
