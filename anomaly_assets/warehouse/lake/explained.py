"""Errors of DuckDB that come from a lake, as sentences: an expired version, a missing file, a store."""

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
        "version {what}, which was open, has expired. Open the samples again; `expire --keep` says how "
        "many publications stay.",
    ),
    (
        r"""No magic bytes found[^\n]*'(?P<what>[^']+)'""",
        "its data file {what} is damaged. Restore it from a backup, or make the lake again.",
    ),
    (
        r"""Cannot open file "(?P<what>[^"]+)": No such file|'(?P<address>[^']+)'[^\n]*HTTP 404""",
        "its data file {what} is missing. Look whether its folder or bucket is mounted and complete, and "
        "restore what is missing.",
    ),
    (
        r"'(?P<what>[^']+)'[^\n]*HTTP 40[13]",
        "its store refuses to give the data file {what}. Check the keys of S3 in the environment "
        "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE) and the rights of their user.",
    ),
    (
        r"(?:Could not connect|Could not establish connection|Timeout)[^\n]* '(?P<what>[^']+)'",
        "its store does not answer for the data file {what}. Check AWS_ENDPOINT_URL and the network, and "
        "try again.",
    ),
)
"""Pattern of what DuckDB says, and what it means; `what` or `address` is a file or a version."""


def is_expired(error: duckdb.Error) -> bool:
    """Return whether a version was asked for that the lake has no more."""
    return _EXPIRED in str(error)


def meaning(location: str, error: duckdb.Error) -> str | None:
    """Return what is wrong with a lake and what to do, in a sentence or two; None if it is something else.

    Args:
        location: The name of the lake that may be shown.
        error: What DuckDB raised.
    """
    for pattern, sentence in _MEANINGS:
        if found := re.search(pattern, str(error)):
            what = next(group for group in found.groups() if group)
            return f"{location}: {sentence.format(what=what)}"
    return None


@contextmanager
def explained_lake(location: str) -> Iterator[None]:
    """Replace errors of DuckDB that are about the versions and files of a lake.

    Raises:
        WarehouseError: A version has expired, or a data file cannot be had.
    """
    try:
        yield
    except duckdb.Error as error:
        if said := meaning(location, error):
            raise WarehouseError(said) from error
        raise
