"""Open the samples of a database or of a cache."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from anomaly_assets.datasets.words import UNKNOWN, label_meant
from anomaly_assets.locations import is_file
from anomaly_assets.reader import cache
from anomaly_assets.reader.assignments import Assignment
from anomaly_assets.reader.database import Database
from anomaly_assets.reader.pixels.blocks import StoredPixels
from anomaly_assets.reader.recipes import wanted_name
from anomaly_assets.reader.samples import Samples
from anomaly_assets.reader.selection import FILTERED, HOW_TO_INCLUDE, Wanted, select
from anomaly_assets.settings import published_database

Values = str | Sequence[str] | None


class UnknownLabelWarning(UserWarning):
    """Samples were left out, because their label is unknown."""


def open_samples(
    database: str | os.PathLike[str] | None = None,
    *,
    source_dataset: Values = None,
    category: Values = None,
    split: Values = None,
    label: Values = None,
    where: str | None = None,
    snapshot: str | None = None,
    include_unknown: bool = False,
    size: int | tuple[int, int] | None = None,
    recipe: str | None = None,
    commercial: bool = False,
    assignment: str | None = None,
    fold: Values = None,
) -> Samples:
    """Open the samples of a published database; a sample must match all filters.

    Args:
        database: A DuckDB file, `ducklake:postgres:…` or `md:NAME`. By default the lake or MotherDuck
            database in ANOMALY_WAREHOUSE, else ANOMALY_DATABASE, else `data/anomaly.duckdb`.
        source_dataset: Only this source dataset, such as `mvtec_ad`, or each of several.
        category: Only this category, or each of several.
        split: Only this one, such as `train` or `test`, or each of several.
        label: Only `good`, `anomalous` or `unknown`, in any case, or each of several. Other words for
            the first two, such as `normal`, `OK` or `NG`, mean the same.
        where: A SQL condition over the columns of the view `samples`, such as
            `"defect_type = 'scratch' AND mask_area_fraction > 0.01"`. It is inserted into
            the SQL as is: never pass untrusted input. The other filters are bound as values, so any
            characters are safe in them.
        snapshot: Id of the snapshot to open instead of the newest.
        include_unknown: Include samples whose label is unknown, with the label index -1. Without it and
            without `label`, they are left out, and a warning gives their number.
        size: Side of the tensors in pixels, or (height, width): the recipe of this size.
        recipe: Name of the recipe of the tensors, such as `512x512x1`; `Samples.recipes` lists them.
            Without it and `size`, the common recipe, which all source datasets have.
        commercial: Refuse samples of source datasets that are not known to allow commercial use, by
            their licence or the key `commercial_use` of their declaration.
        assignment: Name of a split assignment, such as `v1`, that `anomaly-assets split` made. Only samples
            that have a fold in it are opened; `Samples.table` has the column `fold`.
        fold: Only this fold of the assignment, such as `val`, or each of several. `train` means all
            numbered folds, if it has some.

    Raises:
        CommercialUseError: A source dataset of the samples forbids commercial use, or is not known to
            allow it; the message names it with its licence.
        FileNotFoundError: The database does not exist.
        LookupError: A value, the recipe, the assignment, the fold or the snapshot does not exist, or no
            sample matches all filters; the message lists the existing values.
        TypeError: An argument is not a string, a filter is neither a string nor a list of strings, or
            `size` is not a size.
        ValueError: `where` is not such a condition, the list of a filter is empty, `recipe` is not the
            name of a recipe, `fold` is given without `assignment`, or the samples have different shapes.
        DatabaseError: The database is not a published database, or cannot be read.
    """
    asked = dict(zip(FILTERED, (source_dataset, category, split, label), strict=True))
    wanted = {name: _values(name, asked[name]) for name in FILTERED if asked[name] is not None}
    if "label" in wanted:
        wanted["label"] = [
            UNKNOWN if word.casefold() == UNKNOWN else label_meant(word) for word in wanted["label"]
        ]
    _refuse_no_text("where", where, "a SQL condition, such as \"defect_type = 'scratch'\"")
    _refuse_no_text("snapshot", snapshot, "the id of a snapshot, or its first digits")
    folds = _folds(assignment, fold)
    named, sides = wanted_name(size, recipe)
    location = published_database() if database is None else _location(database)
    opened = _opened(location, snapshot)
    samples, left_out = _selected(
        opened,
        wanted,
        where,
        include_unknown=include_unknown,
        recipe=named,
        size=sides,
        commercial=commercial,
        assignment=folds,
    )
    if left_out:
        message = f"{left_out} samples with an unknown label are left out. {HOW_TO_INCLUDE}"
        try:
            warnings.warn(message, UnknownLabelWarning, stacklevel=2)
        except UnknownLabelWarning:
            samples.close()
            raise
    return samples


def all_samples(database: Database) -> Samples:
    """Open all samples of an open snapshot, those of unknown label included, in the common recipe.

    Args:
        database: Open snapshot, which the samples use and close.

    Raises:
        LookupError: The database has no samples; it is closed then.
    """
    return _selected(database, {}, None, include_unknown=True)[0]


def category_samples(
    database: Database, source_dataset: str, category: str, recipe: str
) -> Samples:
    """Open all samples of a category, those of unknown label included.

    Args:
        database: Open snapshot. It is opened once more, even if another one was published meanwhile.
        source_dataset: Source dataset of the category.
        category: The category.
        recipe: Name of the recipe of the tensors.
    """
    wanted = {"source_dataset": [source_dataset], "category": [category]}
    samples, _ = _selected(database.again(), wanted, None, include_unknown=True, recipe=recipe)
    return samples


def _selected(
    opened: Database, wanted: Wanted, where: str | None, **options: Any
) -> tuple[Samples, int]:
    """Return samples, which close the database, and how many of unknown label were left out."""
    try:
        selection, rows = select(opened, wanted, where, **options)
    except BaseException:
        opened.close()
        raise
    left_out = selection.unknown_left_out
    if not is_file(opened.location):
        from anomaly_assets.reader.pixels.lake import RemotePixels

        pixels = RemotePixels(
            opened,
            selection.table["image_id"],
            selection.mask_from_file,
            selection.shape,
            selection.further_recipe,
            selection.tiles,
        )
        return Samples(selection, pixels), left_out
    stored = StoredPixels(
        opened, rows, selection.mask_from_file, selection.shape, selection.tensors
    )
    return Samples(selection, stored), left_out


def open_database(
    database: str | os.PathLike[str] | None = None, snapshot: str | None = None
) -> Database:
    """Open a snapshot of a published database for queries; for arguments and errors, see `open_samples`."""
    location = published_database() if database is None else _location(database)
    return _opened(location, snapshot)


def _opened(location: str, snapshot: str | None) -> Database:
    if is_file(location):
        return Database(location, snapshot)
    from anomaly_assets.reader.pixels.lake import RemoteDatabase

    return RemoteDatabase(location, snapshot)


def open_cache(folder: str | os.PathLike[str]) -> Samples:
    """Open a folder that `Samples.cache` wrote, without the database; `cached_selections` lists them.

    Raises:
        CacheError: The folder is not a cached selection, or is damaged.
    """
    return Samples(*cache.read(Path(folder)))


def _values(name: str, given: Any) -> list[str]:
    values = [given] if isinstance(given, str) else given
    if not isinstance(values, Iterable) or isinstance(values, (bytes, Mapping)):
        raise TypeError(f"{name}={given!r}: give a string, or a list of strings.")
    values = list(values)
    if not all(isinstance(value, str) for value in values):
        raise TypeError(f"{name}={given!r}: give a string, or a list of strings.")
    if not values:
        raise ValueError(f"{name}=[] matches nothing: leave {name} out to get all.")
    return values


def _folds(assignment: str | None, fold: Values) -> Assignment | None:
    _refuse_no_text("assignment", assignment, "the name of a split assignment, such as 'v1'")
    folds = () if fold is None else _values("fold", fold)
    if assignment is None and folds:
        raise ValueError(f"fold={fold!r} needs the name of an assignment, such as assignment='v1'.")
    return None if assignment is None else Assignment(assignment, folds)


def _refuse_no_text(name: str, given: Any, expected: str) -> None:
    if given is not None and not isinstance(given, str):
        raise TypeError(f"{name}={given!r}: give {expected}.")


def _location(database: Any) -> str:
    location = os.fspath(database) if isinstance(database, os.PathLike) else database
    _refuse_no_text(
        "database", location, "the path of a DuckDB file, ducklake:postgres:… or md:NAME"
    )
    return str(location)
