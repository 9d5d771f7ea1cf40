"""Read and write the tables `source_datasets` and `consents` of a warehouse.

Views, deletion, copying and publishing iterate over the table `source_datasets`, never over the datasets
that the running process defines. Otherwise a checkout that does not define a dataset would delete it.

A mark is the largest number of images (or samples) that was accepted since the last consent to a loss. The
stored marks may be lower than the number of loaded rows, because a load writes a mark only when it
matters. So the larger one of the stored mark and the present number of rows is used.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone

import duckdb

from anomaly_assets.datasets import DECLARATIONS, SOURCE_DATASETS, SourceDataset
from anomaly_assets.datasets.licences import CommercialUse, Terms, commercial_use_of
from anomaly_assets.datasets.names import counted, shown
from anomaly_assets.settings import Settings
from anomaly_assets.tables.row_changes import RowChanges
from anomaly_assets.tables.sql_text import column_names

MIN_KEPT_SHARE = 0.8
"""Minimum share of the images or samples of a mark; fewer need consent: the root may be broken."""

_SAMPLES_FOLDER = "/data/samples/"
_SAMPLE_CATEGORIES = frozenset({"bolt", "woven", "Class1", "Class2"})
_RESERVED = ("main", "anomaly")


@dataclass(frozen=True)
class StoredDataset:
    """Row of `source_datasets`; `registry.py` describes the columns."""

    source_dataset: str
    title: str
    licence: str
    definition_digest: str | None
    root_uri: str | None
    from_samples: bool
    most_images: int = 0
    most_samples: int = 0
    declaration: str | None = None
    commercial_use: CommercialUse | None = None
    citation: str | None = None


@dataclass(frozen=True)
class Loss:
    """Source dataset that would lose more than a fifth of its accepted images or samples.

    Attributes:
        source_dataset: Name of the source dataset.
        mark: Largest number accepted since the last consent.
        left: Number that would be left.
    """

    source_dataset: str
    mark: int
    left: int

    def __str__(self) -> str:
        return f"{self.source_dataset} would have {self.left} of {self.mark}"


def is_loss(mark: int, left: int) -> bool:
    """Return True if so few are left of a mark that a consent is needed."""
    return left < MIN_KEPT_SHARE * mark


def are_samples(source_dataset: str, root_uri: str | None, categories: Iterable[str]) -> bool:
    """Return True if an older release, which did not record it, loaded the samples of the repository.

    The URI of the root alone is not enough: a team may store its data in a folder `/data/samples`.
    """
    at_home = bool(root_uri and root_uri.endswith(f"{_SAMPLES_FOLDER}{source_dataset}"))
    return at_home and _SAMPLE_CATEGORIES.issuperset(categories)


def stored_names(connection: duckdb.DuckDBPyConnection, database: str | None = None) -> list[str]:
    """Return the names of the source datasets in a database, sorted.

    A database of the first release has no table `source_datasets`: they are found by their schemas.

    Args:
        connection: A DuckDB instance to which the database is attached.
        database: Name under which it is attached; None for the current one.
    """
    return sorted(stored_datasets(connection, database))


def stored_datasets(
    connection: duckdb.DuckDBPyConnection, database: str | None = None
) -> dict[str, StoredDataset]:
    """Return the source datasets in a database by name; see `stored_names`."""
    table = "source_datasets" if database is None else f"{database}.main.source_datasets"
    existing = column_names(connection, table)
    if existing is None:
        return loaded_datasets(connection, database)
    # Warehouses of older releases lack some columns.
    columns = [name for name in StoredDataset.__dataclass_fields__ if name in existing]
    query = f"SELECT {', '.join(columns)} FROM {table} ORDER BY source_dataset"  # noqa: S608
    rows = connection.execute(query).fetchall()
    return {row[0]: StoredDataset(**dict(zip(columns, row, strict=True))) for row in rows}


def terms_of_use(connection: duckdb.DuckDBPyConnection) -> dict[str, Terms]:
    """Return the terms of each source dataset of the current database; empty for one of the first release.

    Rows of earlier releases have no value for commercial use. It follows from their licence, and the
    citation is in their declaration.
    """
    if column_names(connection, "source_datasets") is None:
        return {}
    return {
        name: Terms(
            stored.title,
            stored.licence,
            stored.commercial_use or commercial_use_of(stored.licence),
            stored.citation or json.loads(stored.declaration or "{}").get("citation"),
        )
        for name, stored in stored_datasets(connection).items()
    }


def loaded_datasets(
    connection: duckdb.DuckDBPyConnection,
    database: str | None = None,
    *,
    known: Collection[str] = (),
) -> dict[str, StoredDataset]:
    """Return the source datasets whose schema has a dlt table `images`.

    Args:
        connection: A DuckDB instance to which the database is attached.
        database: Name under which it is attached; None for the current one.
        known: Schemas to skip.
    """
    rows = connection.execute(
        """
        SELECT schema_name FROM duckdb_tables()
        WHERE database_name = coalesce(?, current_database()) AND table_name = 'images'
        AND schema_name NOT LIKE '%\\_staging' ESCAPE '\\'
        ORDER BY ALL
        """,
        [database],
    ).fetchall()
    found = {}
    for (name,) in rows:
        if name in _RESERVED or name in known:
            continue
        columns = column_names(connection, f"{_qualified(database, name)}.images")
        if columns is not None and {"image_id", "source_dataset", "_dlt_load_id"} <= columns:
            schema = _qualified(database, name)
            root_uri = _newest_root(connection, schema)
            categories = connection.execute(f"SELECT DISTINCT category FROM {schema}.images")  # noqa: S608
            from_samples = are_samples(name, root_uri, (row[0] for row in categories.fetchall()))
            found[name] = _described(name, root_uri, from_samples)
    return found


def register_loaded(connection: duckdb.DuckDBPyConnection) -> None:
    """Add rows for datasets that a release without `source_datasets` has loaded."""
    for dataset in loaded_datasets(connection, known=stored_datasets(connection)).values():
        _write(connection, dataset)


def from_named_roots(connection: duckdb.DuckDBPyConnection) -> dict[str, str | None]:
    """Return root by source dataset, for those loaded from a root that a variable named, sorted."""
    stored = stored_datasets(connection).items()
    return {name: held.root_uri for name, held in stored if not held.from_samples}


def why_kept(
    dataset: SourceDataset, settings: Settings, named: Mapping[str, str | None]
) -> str | None:
    """Return the reason why a run does not list the root of a source dataset; None if it lists it.

    Samples of the repository are never mixed with data from a root that a variable names. So samples are
    not listed if the warehouse holds such data.

    Args:
        dataset: The source dataset.
        settings: Settings of the run.
        named: Source datasets that the warehouse holds from named roots, with these roots.
    """
    if settings.roots[dataset.name] is None:
        state = "empty" if dataset.name in settings.empty_roots else "not set"
        return f"{dataset.root_variable} is {state}"
    if not settings.sample_roots or not named:
        return None
    variable = f"{dataset.root_variable} is not set"
    if dataset.name in named:
        return f"{variable}; it was loaded from {named[dataset.name] or 'a named root'}"
    return f"{variable}; samples of the repository never join data from named roots ({', '.join(named)})"


def record_listing(
    connection: duckdb.DuckDBPyConnection,
    dataset: SourceDataset,
    *,
    root_uri: str,
    from_samples: bool,
    most_images: int,
    most_samples: int | None = None,
) -> None:
    """Record the root and the marks of a source dataset before a load; write only changes.

    Args:
        connection: The warehouse.
        dataset: The source dataset.
        root_uri: The root that was listed.
        from_samples: True if no root was set and the samples of the repository are loaded.
        most_images: New mark of images.
        most_samples: New mark of samples; None keeps it.
    """
    before = stored_datasets(connection).get(dataset.name)
    row = StoredDataset(
        dataset.name,
        dataset.title,
        dataset.licence,
        dataset.definition_digest,
        root_uri,
        from_samples,
        most_images,
        (before.most_samples if before else 0) if most_samples is None else most_samples,
        dataset.declaration.canonical_json,
        dataset.declaration.commercial_use,
        dataset.declaration.citation,
    )
    if row != before:
        _write(connection, row)


def set_sample_marks(connection: duckdb.DuckDBPyConnection, marks: Mapping[str, int]) -> None:
    """Set the marks of samples; write only changes."""
    for name, stored in stored_datasets(connection).items():
        if name in marks and marks[name] != stored.most_samples:
            _write(connection, replace(stored, most_samples=marks[name]))


def note_consent(
    connection: duckdb.DuckDBPyConnection,
    source_dataset: str,
    kind: str,
    images: int,
    run_id: str | None,
) -> None:
    """Record the consent to keep only this number of images (or samples) of a source dataset."""
    connection.execute(
        "INSERT INTO consents (source_dataset, consented_at, kind, images, run_id) VALUES (?, ?, ?, ?, ?)",
        [source_dataset, datetime.now(timezone.utc), kind, images, run_id],
    )


def read_consents(
    connection: duckdb.DuckDBPyConnection, table: str = "consents"
) -> set[tuple[str, int]]:
    """Return every consent as the name of its source dataset and its time in microseconds since 1970."""
    query = f"SELECT source_dataset, epoch_us(consented_at) FROM {table}"  # noqa: S608
    try:
        rows = connection.execute(query).fetchall()
    except (duckdb.CatalogException, duckdb.BinderException):  # published by an older release
        return set()
    return {(name, microseconds) for name, microseconds in rows}


def sample_counts(
    connection: duckdb.DuckDBPyConnection, database: str | None = None
) -> dict[str, int]:
    """Return the number of samples of each source dataset with at least one.

    Excluded images count: a correction excludes them on purpose, so they are no loss.
    """
    place = "" if database is None else f"{database}.main."
    query = (
        f"SELECT source_dataset, count(*) FROM {place}images "  # noqa: S608
        f"JOIN {place}image_tensors USING (image_id) GROUP BY ALL"
    )
    try:
        return dict(connection.execute(query).fetchall())
    except duckdb.CatalogException:
        return {}


def published_marks(
    connection: duckdb.DuckDBPyConnection, database: str | None = None
) -> dict[str, int]:
    """Return the marks to store in a published database; samples of the repository have none."""
    counts = sample_counts(connection, database)
    return {
        name: max(stored.most_samples, counts.get(name, 0))
        for name, stored in stored_datasets(connection, database).items()
        if not stored.from_samples
    }


def dataset_lines(
    connection: duckdb.DuckDBPyConnection,
    *,
    refreshed: Mapping[str, RowChanges] | None = None,
    kept: Mapping[str, str] | None = None,
    removed: Mapping[str, int] | None = None,
) -> list[str]:
    """Describe each source dataset after a run: images, what changed, rejected files, and the root.

    Args:
        connection: The warehouse.
        refreshed: Datasets whose root was listed and loaded, with what changed in their images.
        kept: Datasets that were left as they are, with the reason.
        removed: Datasets that were removed, with their number of images.
    """
    lines = []
    refreshed = refreshed or {}
    rejected = _rejected_files(connection)
    for name, stored in stored_datasets(connection).items():
        query = f'SELECT count(*) FROM "{name}".images'  # noqa: S608
        loaded = "images" if column_names(connection, f'"{name}".images') else ""
        images = connection.execute(query).fetchall()[0][0] if loaded else 0
        samples = " (samples of the repository)" if stored.from_samples else ""
        if name in refreshed:
            state = f"refreshed: {_counted(refreshed[name])}, {rejected.get(name, 0):,} rejected"
        elif name not in SOURCE_DATASETS:
            state = f"kept: {_why_unknown(name)}"
        else:
            state = f"kept: {(kept or {}).get(name, 'its root was not loaded in this run')}"
        strays = _mostly_strays(connection, name, images)
        lines.append(
            f"{name}: {counted(images, 'image')} from {stored.root_uri}{samples}, {state}{strays}"
        )
    for name, images in (removed or {}).items():
        if name not in refreshed:
            lines.append(f"{name}: removed; its {images:,} images were samples of the repository")
    return lines


def _why_unknown(name: str) -> str:
    """Return why this process does not define a source dataset that the warehouse holds."""
    if name in DECLARATIONS.broken:
        return "its declaration has an error"
    if files := {problem.file for problem in DECLARATIONS.problems if problem.name is None}:
        return (
            f"no file that can be read declares it ({', '.join(map(shown, sorted(files)))} cannot)"
        )
    return (
        "no declaration defines it; name the TOML file that does in ANOMALY_DATASETS, or remove the "
        f"dataset with `anomaly-assets forget {name}`"
    )


def _counted(changes: RowChanges) -> str:
    return f"{changes.added:,} new, {changes.changed:,} changed, {changes.removed:,} removed"


def _rejected_files(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Return the number of rejected files of each source dataset that has some."""
    if not column_names(connection, "rejected_images"):
        return {}
    query = "SELECT split_part(image_id, '/', 1), count(*) FROM rejected_images GROUP BY ALL"
    return dict(connection.execute(query).fetchall())


def _mostly_strays(connection: duckdb.DuckDBPyConnection, name: str, images: int) -> str:
    """Return the end of the line of a source dataset whose root has more strays than files of images."""
    if not images or not column_names(connection, f'"{name}".stray_files'):
        return ""
    query = f"""
        SELECT count(*), (SELECT count(mask_relative_path) FROM "{name}".images)
        FROM "{name}".stray_files WHERE reason NOT IN ('declared_but_missing', 'not_needed')
    """  # noqa: S608
    ((strays, masks),) = connection.execute(query).fetchall()
    return f"; {strays:,} of its files are strays" if strays > images + masks else ""


def _described(name: str, root_uri: str | None, from_samples: bool) -> StoredDataset:
    """Return the row of a dataset that has none yet, with the definition of this process, if any."""
    dataset = SOURCE_DATASETS.get(name)
    return StoredDataset(
        name,
        dataset.title if dataset else name,
        dataset.licence if dataset else "unknown",
        None,
        root_uri,
        from_samples,
        commercial_use=dataset.declaration.commercial_use if dataset else None,
        citation=dataset.declaration.citation if dataset else None,
    )


def _newest_root(connection: duckdb.DuckDBPyConnection, schema: str) -> str | None:
    if "root_uri" not in (column_names(connection, f"{schema}.load_changes") or ()):
        return None
    query = f"SELECT arg_max(root_uri, _dlt_load_id) FROM {schema}.load_changes"  # noqa: S608
    found = connection.execute(query).fetchone()
    return found[0] if found else None


def _write(connection: duckdb.DuckDBPyConnection, row: StoredDataset) -> None:
    values = asdict(row)
    connection.begin()
    connection.execute("DELETE FROM source_datasets WHERE source_dataset = ?", [row.source_dataset])
    columns = ", ".join(values)
    places = ", ".join("?" * len(values))
    connection.execute(
        f"INSERT INTO source_datasets ({columns}) VALUES ({places})",  # noqa: S608
        list(values.values()),
    )
    connection.commit()


def _qualified(database: str | None, schema: str) -> str:
    return f'"{schema}"' if database is None else f'{database}."{schema}"'
