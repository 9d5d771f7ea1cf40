"""Connect to a DuckLake; imports little, because readers and writers use it.

The password of the catalogue and the keys of the store go into DuckDB's secrets, which DuckDB never
shows. So no statement contains them, and no error can repeat them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from anomaly_assets.errors import WarehouseError, install_extra
from anomaly_assets.locations import LakeLocation, parse_location
from anomaly_assets.tables.sql_text import sql_literal
from anomaly_assets.warehouse.extensions import load_extensions
from anomaly_assets.warehouse.lake.explained import explained_lake, is_expired

PUBLISHED_VERSIONS = "published_versions"
"""Table of a lake with the checked and published versions and their snapshot ids."""

_SETTINGS = (
    "SET GLOBAL TimeZone = 'UTC'",
    # If two machines commit at once, the second one retries for some seconds.
    "SET GLOBAL ducklake_max_retry_count = 40",
    "SET GLOBAL ducklake_retry_wait_ms = 50",
    "SET GLOBAL ducklake_retry_backoff = 1.2",
    "SET GLOBAL http_retries = 3",
    # A missing table is an error; DuckDB must not read a Python variable of the same name instead.
    "SET GLOBAL python_enable_replacements = false",
    # DuckDB must not look for or download extensions by itself.
    "SET GLOBAL autoinstall_known_extensions = false",
    "SET GLOBAL autoload_known_extensions = false",
)


@dataclass(frozen=True)
class PublishedVersion:
    """One publication of a lake.

    Attributes:
        snapshot_id: Digest of the content.
        version: Version of the lake that holds it.
    """

    snapshot_id: str
    version: int


class ExpiredVersionError(WarehouseError):
    """The requested version of a lake has been deleted."""


def start_for_lakes() -> duckdb.DuckDBPyConnection:
    """Start a DuckDB instance that can attach lakes, with nothing attached.

    Raises:
        WarehouseError: The extra `lake` is not installed.
    """
    instance = duckdb.connect(":memory:")
    try:
        prepare_for_lakes(instance)
    except BaseException:
        instance.close()
        raise
    return instance


def prepare_for_lakes(instance: duckdb.DuckDBPyConnection) -> None:
    """Load extensions and settings that a DuckDB instance needs to attach lakes.

    Raises:
        WarehouseError: The extra `lake` is not installed.
    """
    load_extensions(instance, "httpfs", "postgres_scanner", "ducklake")
    for setting in _SETTINGS:
        instance.execute(setting)


def attach_lake(
    instance: duckdb.DuckDBPyConnection,
    location: LakeLocation,
    name: str,
    *,
    folder: str | None = None,
    read_only: bool = False,
    version: int | None = None,
) -> None:
    """Attach a lake.

    Args:
        instance: A DuckDB instance prepared by `prepare_for_lakes`.
        location: Location of the lake's catalogue.
        name: Name of the lake's database in this DuckDB instance.
        folder: Folder of the lake's files; needed only for a new lake, because the catalogue stores it.
        read_only: Refuse writes, and refuse to create a lake.
        version: The version to read; the default is the newest.

    Raises:
        ExpiredVersionError: The lake no longer has this version.
        WarehouseError: The lake cannot be reached, does not exist, or has its files in another folder.
    """
    secret = f"{name}_catalogue"
    options = [f"META_SECRET '{secret}'", "DATA_INLINING_ROW_LIMIT 0"]
    if folder is not None:
        options.append(f"DATA_PATH {sql_literal(folder)}")
    if read_only:
        options.append("READ_ONLY")
    if version is not None:
        options.append(f"SNAPSHOT_VERSION {version}")
    catalogue = sql_literal(f"ducklake:postgres:{location.conninfo}")
    password = "" if location.password is None else f", PASSWORD {sql_literal(location.password)}"
    try:
        instance.execute(f"CREATE OR REPLACE SECRET {secret} (TYPE postgres{password})")
        instance.execute(f"ATTACH {catalogue} AS {name} ({', '.join(options)})")
        stored = _data_path(instance, name)
        allow_store(instance, name, stored)
    except duckdb.Error as error:
        if is_expired(error):
            raise ExpiredVersionError(f"{location.name}: version {version} has expired.") from error
        # Not chained: the original message may hold the whole connection string.
        raise WarehouseError(_why_not_attached(location, error)) from None
    if is_relative(stored) and not Path(stored).is_dir():
        instance.execute(f"DETACH {name}")
        raise WarehouseError(
            f"{location.name} stores a relative path for its folder, {stored}, which does not exist below "
            f"{Path.cwd()}. Refresh the lake once from the folder where it was created: that stores the "
            "absolute path."
        )


def connect_lake(
    location: str, *, snapshot: str | None = None, name: str = "published"
) -> duckdb.DuckDBPyConnection:
    """Open the published data of a lake, read-only, with its tables current.

    Later publications do not change what this connection sees.

    Args:
        location: `ducklake:postgres:…`
        snapshot: Snapshot id, or its first digits; the default is the newest.
        name: Name of the database in this DuckDB instance.

    Raises:
        LocationError: The location is malformed.
        LookupError: Nothing is published, or not this snapshot; the message lists the existing ones.
        WarehouseError: The lake cannot be reached or does not exist.
    """
    parsed = parse_location(location)
    assert isinstance(parsed, LakeLocation)
    return open_published(parsed, name, snapshot=snapshot)[0]


def open_published(
    location: LakeLocation, name: str, *, snapshot: str | None = None
) -> tuple[duckdb.DuckDBPyConnection, PublishedVersion]:
    """Open the published data of a lake and return it with its publication; see `connect_lake`."""
    connection = start_for_lakes()
    try:
        published = attach_published(connection, location, name, snapshot=snapshot)
        connection.execute(f"USE {name}.main")
    except BaseException:
        connection.close()
        raise
    return connection, published


def attach_published(
    instance: duckdb.DuckDBPyConnection,
    location: LakeLocation,
    name: str,
    *,
    snapshot: str | None = None,
) -> PublishedVersion:
    """Attach the published data of a lake, read-only; same arguments and errors as `connect_lake`."""
    attach_lake(instance, location, name, read_only=True)
    with explained_lake(location.name):
        published = published_versions(instance, name)
    instance.execute(f"DETACH {name}")
    chosen = _chosen(location, published, snapshot)
    try:
        attach_lake(instance, location, name, read_only=True, version=chosen.version)
    except ExpiredVersionError as error:
        others = {each.snapshot_id[:12]: None for each in published if each != chosen}
        raise LookupError(
            f"{location.name}: snapshot {chosen.snapshot_id[:12]} has expired. Open another one "
            f"({', '.join(others) or 'there is none'}), or materialize published_database, which publishes "
            "what the lake holds now."
        ) from error.__cause__
    return chosen


def published_versions(
    connection: duckdb.DuckDBPyConnection, name: str = "published"
) -> list[PublishedVersion]:
    """Return the publications of a lake, newest first; empty if nothing was published."""
    try:
        rows = connection.execute(
            f"SELECT snapshot_id, version FROM {name}.main.{PUBLISHED_VERSIONS} ORDER BY version DESC"  # noqa: S608
        ).fetchall()
    except duckdb.CatalogException:
        return []
    return [PublishedVersion(*row) for row in rows]


def has_version(connection: duckdb.DuckDBPyConnection, name: str, version: int) -> bool:
    """Return whether a version of a lake still exists."""
    query = f"SELECT 1 FROM ducklake_snapshots('{name}') WHERE snapshot_id = ?"  # noqa: S608
    return bool(connection.execute(query, [version]).fetchall())


def _chosen(
    location: LakeLocation, published: list[PublishedVersion], snapshot: str | None
) -> PublishedVersion:
    if not published:
        raise LookupError(
            f"Nothing is published in {location.name}: materialize published_database with "
            "ANOMALY_WAREHOUSE set to it."
        )
    if snapshot is None:
        return published[0]
    found = [each for each in published if each.snapshot_id.startswith(snapshot)]
    if len({each.snapshot_id for each in found}) != 1:
        known = ", ".join(each.snapshot_id[:12] for each in published[:20])
        what = "no snapshot" if not found else "more than one snapshot"
        raise LookupError(f"{location.name} has {what} {snapshot!r}. Published: {known}.")
    return found[0]


def _data_path(instance: duckdb.DuckDBPyConnection, name: str) -> str:
    found = instance.execute(
        f"SELECT value FROM ducklake_options('{name}') WHERE option_name = 'data_path'"  # noqa: S608
    ).fetchone()
    return str(found[0]) if found else ""


def is_relative(folder: str) -> bool:
    """Return whether a folder depends on the working directory of the process."""
    return "://" not in folder and not Path(folder).is_absolute()


def allow_store(instance: duckdb.DuckDBPyConnection, name: str, folder: str) -> None:
    """Give DuckDB the S3 credentials of the lake's folder, limited to this folder."""
    if not folder.startswith("s3://"):
        return
    told = {**_s3_options(), "SCOPE": sql_literal(folder)}
    options = ", ".join(f"{key} {value}" for key, value in told.items())
    instance.execute(f"CREATE OR REPLACE SECRET {name}_store (TYPE s3, {options})")


def _s3_options() -> dict[str, str]:
    """Return key, secret, region and endpoint, found like AWS's own tools find them."""
    try:
        from botocore.session import Session
    except ImportError:
        raise WarehouseError(
            f"A lake on s3:// needs botocore, which is not installed: {install_extra('lake')}."
        ) from None
    session = Session()
    region = session.get_config_variable("region") or "us-east-1"
    credentials = session.get_credentials()
    client: Any = session.create_client("s3", region_name=region)
    scheme, _, endpoint = client.meta.endpoint_url.partition("://")
    options = {
        "REGION": sql_literal(client.meta.region_name),
        "ENDPOINT": sql_literal(endpoint.rstrip("/")),
        "USE_SSL": str(scheme == "https").lower(),
    }
    if not endpoint.endswith("amazonaws.com"):
        options["URL_STYLE"] = "'path'"
    if credentials is not None:
        found = credentials.get_frozen_credentials()
        options |= {
            "KEY_ID": sql_literal(found.access_key),
            "SECRET": sql_literal(found.secret_key),
        }
        if found.token:
            options["SESSION_TOKEN"] = sql_literal(found.token)
    return options


def _why_not_attached(location: LakeLocation, error: duckdb.Error) -> str:
    text = str(error).strip().replace(location.conninfo, location.shown)
    if "does not exist - and creating a new DuckLake is explicitly disabled" in text:
        return (
            f"{location.name} holds no lake yet: refresh it once with ANOMALY_WAREHOUSE set to it."
        )
    if "data_path is not set" in text:
        return (
            f"{location.name} holds no lake yet. Set the folder for the files of a new lake: "
            "ANOMALY_LAKE_DATA=/shared/folder or s3://bucket/prefix."
        )
    if "does not match existing data path" in text:
        return (
            f"{location.name} has its files in another folder than ANOMALY_LAKE_DATA: "
            f"{text.splitlines()[0]}. Unset the variable; the catalogue stores the folder."
        )
    reason = text.rpartition(": connection to server ")
    said = f"connection to server {reason[2]}" if reason[1] else text
    return f"{location.name} cannot be opened: {' '.join(said.split())}"
