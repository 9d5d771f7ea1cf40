"""Turn errors of a lake into plain messages: an expired version, a missing file, an unreachable store."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from anomaly_assets.errors import WarehouseError

_EXPIRED = "No snapshot found at version"

_MEANINGS = (
    (
        rf"{_EXPIRED} (?P<what>\d+)",
        "version {what}, which was open, has expired. Open the samples again; `expire --keep` sets how "
        "many publications stay.",
    ),
    (
        r"""No magic bytes found[^\n]*'(?P<what>[^']+)'""",
        "its data file {what} is damaged. Restore it from a backup, or rebuild the lake.",
    ),
    (
        r"""Cannot open file "(?P<what>[^"]+)": No such file|'(?P<address>[^']+)'[^\n]*HTTP 404""",
        "its data file {what} is missing. Check that its folder or bucket is mounted and complete, and "
        "restore missing files.",
    ),
    (
        r"'(?P<what>[^']+)'[^\n]*HTTP 40[13]",
        "its store denies access to the data file {what}. Check the keys of S3 in the environment "
        "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE) and the rights of their user.",
    ),
    (
        r"(?:Could not connect|Could not establish connection|Timeout)[^\n]* '(?P<what>[^']+)'",
        "its store does not answer for the data file {what}. Check AWS_ENDPOINT_URL and the network, and "
        "try again.",
    ),
)
"""Pattern of DuckDB's message, and our message; `what` or `address` is a file or a version."""


def is_expired(error: duckdb.Error) -> bool:
    """Return whether the error is about a version that the lake no longer has."""
    return _EXPIRED in str(error)


def meaning(location: str, error: duckdb.Error) -> str | None:
    """Return the problem of a lake and its fix, as one or two sentences; None for another error.

    Args:
        location: Name of the lake, without secrets.
        error: Error that DuckDB raised.
    """
    for pattern, sentence in _MEANINGS:
        if found := re.search(pattern, str(error)):
            what = next(group for group in found.groups() if group)
            return f"{location}: {sentence.format(what=what)}"
    return None


@contextmanager
def explained_lake(location: str) -> Iterator[None]:
    """Replace DuckDB's errors about versions and files of a lake with a WarehouseError.

    Raises:
        WarehouseError: A version has expired, or a data file is missing or cannot be fetched.
    """
    try:
        yield
    except duckdb.Error as error:
        if said := meaning(location, error):
            raise WarehouseError(said) from error
        raise
