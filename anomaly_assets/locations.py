"""Parse the location of a database: a file, a DuckLake, or a MotherDuck database.

    data/warehouse.duckdb
    ducklake:postgres:host=db.example dbname=anomaly user=team
    md:anomaly

After `ducklake:postgres:` any connection string of libpq is allowed, also a URL `postgresql://…`.
A password in it is removed before the location is shown; `PGPASSWORD`, `~/.pgpass` and other ways of
libpq work as well.

A string that resembles a URL or a connection string is never used as a path. Otherwise DuckDB would
create a file whose name contains the password, and messages would repeat the password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from anomaly_assets.errors import AnomalyAssetsError, install_extra

LAKE_PREFIX = "ducklake:"
MOTHERDUCK_PREFIXES = ("md:", "motherduck:")

_CONNECT_SECONDS = 10
_EXAMPLE = "One is: host=db.example dbname=anomaly user=team, with the password in PGPASSWORD or ~/.pgpass."
_SHOWN = ("service", "host", "hostaddr", "port", "dbname", "user")


_SCHEMES = (
    "abfs abfss az dask duckdb ducklake file ftp gcs gs hf http https md memory motherduck mysql postgres "
    "postgresql r2 s3 s3a sqlite"
)
_BEFORE = r"[\s'\"]*"
"""Spaces or quotation marks pasted before a location."""

_KNOWN_SCHEME = re.compile(
    rf"{_BEFORE}((?:ducklake:)?(?:{'|'.join(_SCHEMES.split())}):(?://?)?)", re.IGNORECASE
)
_ADDRESS = re.compile(
    rf"{_BEFORE}[A-Za-z0-9_]{{2,}}:"  # DuckDB's own prefixes; one letter is a drive of Windows
    rf"|{_BEFORE}/{{0,2}}[^/\s:]{{2,}}:[^/]*@"  # user:password@host
    rf"|{_BEFORE}/{{0,2}}[^/\s:]:[^/\\]*@"  # the same for a user of one letter, not C:\\a@b
    rf"|{_BEFORE}(?:host|hostaddr|port|dbname|user|service|sslmode)\s*=\s*\S+\s+\w+\s*="
    r"|.*(?:^|[\s;&?'\"])(?:pass|passwd|password|pwd|secret|token|motherduck_token)\s*=",
    re.IGNORECASE | re.DOTALL,
)


class LocationError(AnomalyAssetsError, ValueError):
    """A location cannot be used; the message lists the allowed forms."""


@dataclass(frozen=True)
class LakeLocation:
    """Location of a DuckLake.

    Attributes:
        conninfo: Connection string of the catalogue for libpq, without the password.
        password: The password, if the location contains one.
        shown: The part of the connection string that is safe to show.
    """

    conninfo: str = field(repr=False)
    password: str | None = field(default=None, repr=False)
    shown: str = ""

    @property
    def name(self) -> str:
        """Return the name for messages: server, database and user, without secrets."""
        return f"{LAKE_PREFIX}postgres:{self.shown}"


@dataclass(frozen=True)
class MotherDuckLocation:
    """Location of a MotherDuck database.

    Attributes:
        database: Name of the database.
    """

    database: str

    @property
    def name(self) -> str:
        """Return the location."""
        return f"md:{self.database}"


def is_file(location: str) -> bool:
    """Return whether a location is a path, and not a URL or an attempt at one."""
    return "://" not in location and not _ADDRESS.match(location)


def shown_scheme(location: str) -> str:
    """Return the beginning of a location: its kind, without secrets."""
    known = _KNOWN_SCHEME.match(location)
    return f"{known[1] if known else ''}…"


def parse_location(location: str) -> Path | LakeLocation | MotherDuckLocation:
    """Parse a location.

    Raises:
        LocationError: The location is not one of the three kinds, or is malformed.
    """
    if location.startswith(LAKE_PREFIX):
        return _lake(location)
    if location.startswith(MOTHERDUCK_PREFIXES):
        database = location.partition(":")[2]
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", database):
            raise LocationError(
                f"{shown_scheme(location)}: give the name of a database and nothing else, such as "
                "md:anomaly. The token belongs into the environment, as motherduck_token."
            )
        return MotherDuckLocation(database)
    if not is_file(location):
        raise LocationError(
            f"{shown_scheme(location)}: use the path of a DuckDB file, ducklake:postgres:…, or md:NAME."
        )
    return Path(location)


def _lake(location: str) -> LakeLocation:
    kind, _, conninfo = location.removeprefix(LAKE_PREFIX).partition(":")
    if kind != "postgres":
        raise LocationError(
            f"{shown_scheme(location)}: the catalogue of a lake that several machines write to is in "
            "PostgreSQL: ducklake:postgres:host=… dbname=…"
        )
    try:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict, make_conninfo
    except ImportError:
        raise LocationError(
            f"{shown_scheme(location)} needs psycopg, which is not installed: "
            f"{install_extra('lake')}."
        ) from None
    try:
        values = conninfo_to_dict(conninfo)
    except ProgrammingError:
        # Neither the text nor libpq's reason is shown: a password may be anywhere in unparsed text.
        raise LocationError(
            f"{shown_scheme(location)}: the text after ducklake:postgres: is not a connection string of "
            f"PostgreSQL. {_EXAMPLE}"
        ) from None
    if any("@" in str(values.get(name, "")) for name in ("host", "hostaddr", "port", "dbname")):
        raise LocationError(
            f"{shown_scheme(location)}: there is an @ in its host, port or database, so its password was "
            f"cut in two: write @, / and % in a password as %40, %2F and %25. {_EXAMPLE}"
        )
    password = values.pop("password", None)
    values.setdefault("connect_timeout", _CONNECT_SECONDS)
    told = {name: str(value) for name, value in values.items()}
    shown = make_conninfo(**{name: value for name, value in told.items() if name in _SHOWN})
    return LakeLocation(make_conninfo(**told), None if password is None else str(password), shown)
