"""Select samples by filters, and read their metadata."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from anomaly_assets.datasets.attributes import NO_ATTRIBUTES
from anomaly_assets.datasets.licences import Terms
from anomaly_assets.datasets.names import counted, shown
from anomaly_assets.datasets.words import ACCEPTED_WORDS, UNKNOWN
from anomaly_assets.reader.assignments import FOLD, Assignment, existing_assignments, has_folds
from anomaly_assets.reader.batch import BoolArray, IntArray
from anomaly_assets.reader.database import Database, explained
from anomaly_assets.reader.normalise import Statistics
from anomaly_assets.reader.recipes import chosen_recipe
from anomaly_assets.reader.terms import published_on, refuse_commercial_use
from anomaly_assets.tables.recipes import RecipeNames, existing_recipes
from anomaly_assets.tables.source_datasets import terms_of_use
from anomaly_assets.tables.sql_text import attribute_names, sql_literal
from anomaly_assets.warehouse.ranges import EVERY_ID, fetch_images

FILTERED = ("source_dataset", "category", "split", "label")
"""Columns with their own argument of `open_samples`."""

_LABELS = frozenset({"good", "anomalous", UNKNOWN})
_NO_FILTER = "no filter"
HOW_TO_INCLUDE = "Pass include_unknown=True to get them; their label index is -1."

Wanted = Mapping[str, Sequence[str]]
"""Map of a filtered column to its wanted values."""


@dataclass(frozen=True)
class Selection:
    """Metadata of the selected samples.

    They are in memory, about 500 bytes per sample.

    Attributes:
        table: The columns of the view `samples` without the two tensors; one row per sample, ordered
            by `image_id`. With a further recipe also `recipe`, `tile` and `box`; one row per tile.
        label_indices: int64, one per sample; -1 for an unknown label.
        mask_from_file: bool, one per sample.
        shape: Height, width and channels of every sample.
        snapshot_id: The snapshot that the samples are read from.
        statistics: Channel statistics of each category.
        asked_for: The filters, as a sentence.
        unknown_left_out: Number of samples that match, and are left out because their label is unknown.
        further_recipe: Recipe of the tensors; None for the common one.
        recipes: Recipes of the database by source dataset.
        terms: Terms of use of each source dataset of the database.
        published_on: Day of the publication of the snapshot, such as `2026-11-29`; None if not recorded.
        database: The database; None for a cache.
    """

    table: pa.Table
    label_indices: IntArray
    mask_from_file: BoolArray
    shape: tuple[int, int, int]
    snapshot_id: str | None
    statistics: Statistics
    asked_for: str
    unknown_left_out: int = 0
    further_recipe: str | None = None
    recipes: RecipeNames = field(default_factory=dict)
    terms: Mapping[str, Terms] = field(default_factory=dict)
    published_on: str | None = None
    database: Database | None = None

    @classmethod
    def of(
        cls,
        table: pa.Table,
        snapshot_id: str | None,
        statistics: Statistics,
        asked_for: str,
        unknown_left_out: int = 0,
        further_recipe: str | None = None,
        recipes: RecipeNames | None = None,
    ) -> Selection:
        """Build the metadata of the samples in a table.

        Raises:
            ValueError: The samples have different shapes.
        """
        sizes = table.select(["height", "width", "channels"]).group_by(
            ["height", "width", "channels"]
        )
        shapes = sorted(tuple(row.values()) for row in sizes.aggregate([]).to_pylist())
        if len(shapes) > 1:
            raise ValueError(
                f"Samples of different shapes cannot be read together: {shapes}. Choose one of them with "
                f"where='height = {shapes[0][0]} AND width = {shapes[0][1]} AND channels = {shapes[0][2]}'."
            )
        return cls(
            table=table,
            label_indices=table["label_index"].fill_null(-1).to_numpy().astype(np.int64),
            mask_from_file=table["mask_area_fraction"].is_valid().to_numpy(),
            shape=shapes[0],
            snapshot_id=snapshot_id,
            statistics=statistics,
            asked_for=asked_for,
            unknown_left_out=unknown_left_out,
            further_recipe=further_recipe,
            recipes=recipes or {},
        )

    @cached_property
    def texts(self) -> dict[str, npt.NDArray[np.object_]]:
        """Return the columns that each batch has as arrays of strings; nulls are the empty string.

        Between two batches, megabytes of pixels pass through the processor's caches. Arrow's `take` of the
        columns then takes 0.2 ms, a tenth of reading the batch; indexing arrays of objects a tenth of that.
        """
        return {
            name: _shared(self.table[name])
            for name in ("image_id", "category", "split", "defect_type")
        }

    @property
    def recipe(self) -> str:
        """Return the name of the recipe of the tensors."""
        return self.further_recipe or "x".join(map(str, self.shape))

    @property
    def tensors(self) -> str:
        """Return the table that holds the tensors."""
        return "recipe_tensors" if self.further_recipe else "image_tensors"

    @property
    def tiles(self) -> IntArray | None:
        """Return the number of the tile of each sample; None for the common recipe."""
        return self.table["tile"].to_numpy() if self.further_recipe else None

    def narrowed(self, table: pa.Table, positions: IntArray) -> Selection:
        """Return the selection of the samples at `positions`; `table` holds their rows."""
        return replace(
            self,
            table=table,
            label_indices=self.label_indices[positions],
            mask_from_file=self.mask_from_file[positions],
        )


def _shared(column: pa.ChunkedArray) -> npt.NDArray[np.object_]:
    """Return a column as strings; equal ones are one object."""
    encoded = pc.fill_null(column.combine_chunks(), "").dictionary_encode()
    names: npt.NDArray[np.object_] = np.array(encoded.dictionary.to_pylist(), object)
    column_of_names: npt.NDArray[np.object_] = names[encoded.indices.to_numpy()]
    return column_of_names


def select(
    database: Database,
    wanted: Wanted,
    where: str | None,
    *,
    include_unknown: bool = False,
    recipe: str | None = None,
    size: tuple[int, int] | None = None,
    commercial: bool = False,
    assignment: Assignment | None = None,
) -> tuple[Selection, IntArray]:
    """Find the wanted samples.

    Samples whose label is unknown are left out, unless they are included or the label is a filter.

    Args:
        database: The database.
        wanted: Values of the filtered columns.
        where: A condition in SQL; None for all samples.
        include_unknown: Include samples whose label is unknown.
        recipe: Name of the recipe of the tensors; without it and `size`, the common one.
        size: Height and width of the recipe.
        commercial: Refuse samples of source datasets that are not known to allow commercial use.
        assignment: Only images with a fold of this assignment.

    Returns:
        Their metadata, and the row id of each in the table with their tensors.

    Raises:
        CommercialUseError: A source dataset of the samples is not known to allow commercial use.
        LookupError: No sample matches, or there is no such recipe; the message lists the existing values.
        ValueError: `where` is not a condition over the columns of `samples`.
    """
    with database.unchanged() as opened, opened.cursor() as cursor:
        with explained(database.location):
            # Without any condition, the values are needed only if there is no sample.
            is_conditional = any((wanted, where, recipe, size, assignment))
            existing = _existing(cursor, database.location) if is_conditional else []
            _refuse_unknown(wanted, existing)
            recipes = existing_recipes(cursor)
            if assignment is not None:
                assignment = assignment.chosen(existing_assignments(cursor), database.location)
        source = _COMMON
        if recipe is not None or size is not None:
            selected = _selected_datasets(cursor, wanted, where, database, existing, assignment)
            if selected:
                recipe = chosen_recipe(recipes, selected, recipe, size)
            if recipe is not None and all(recipe != names[0] for names in recipes.values()):
                source = _FURTHER.replace("<recipe>", sql_literal(recipe))
        further = None if source == _COMMON else recipe
        source = source if assignment is None else assignment.applied(source)
        found = _rows(cursor, wanted, where, database, source)
        asked_for = _asked_for(wanted, where, assignment)
        matching = found.num_rows
        if not include_unknown and "label" not in wanted:
            found = found.filter(pc.not_equal(found["label"], UNKNOWN))
        left_out = matching - found.num_rows
        remedy = HOW_TO_INCLUDE
        if not found.num_rows and "label" in wanted:
            # If no sample has a label, the filter of the label alone finds nothing.
            others = {column: values for column, values in wanted.items() if column != "label"}
            labels = _rows(cursor, others, where, database, source)["label"]
            if labels.unique().to_pylist() == [UNKNOWN]:
                left_out, asked_for = len(labels), _asked_for(others, where, assignment)
                remedy = (
                    "The label 'unknown' selects them; docs/labels.md lists what gives a label."
                )
        if left_out and not found.num_rows:
            which = "" if asked_for == _NO_FILTER else f" with {asked_for}"
            raise LookupError(
                f"{database.location}: all {left_out} samples{which} have the label unknown. {remedy}"
            )
        if not found.num_rows:
            existing = existing or _existing(cursor, database.location)
            raise LookupError(
                f"{database.location} has no sample with {asked_for}, but each condition alone has "
                f"some. {_categories(existing)}"
                if len(wanted) + bool(where) + bool(assignment) > 1
                else f"{database.location} has no sample with {asked_for}. {_categories(existing)}"
            )
        rows = found["row"].to_numpy()
        table = found.drop_columns(["row"]).combine_chunks()
        with explained(database.location):
            statistics = _statistics(cursor, further, table["channels"][0].as_py())
            terms = terms_of_use(cursor)
            published = published_on(cursor, database.snapshot_id)
        if commercial:
            refuse_commercial_use(table, terms)
        selection = Selection.of(
            table, database.snapshot_id, statistics, asked_for, left_out, further, recipes
        )
        selection = replace(selection, terms=terms, published_on=published, database=database)
        return selection, rows


def _selected_datasets(
    cursor: duckdb.DuckDBPyConnection,
    wanted: Wanted,
    where: str | None,
    database: Database,
    existing: list[dict[str, str]],
    assignment: Assignment | None,
) -> set[str]:
    """Return the source datasets of the samples that match."""
    matching = {
        row["source_dataset"]
        for row in existing
        if all(row[column] in values for column, values in wanted.items())
    }
    if (where is None and assignment is None) or len(matching) < 2:
        return matching
    source = _ANY if assignment is None else assignment.applied(_ANY)
    # A condition on columns of the recipe may match no image here; it then excludes no dataset.
    found = _rows(cursor, wanted, where, database, source)["source_dataset"].unique().to_pylist()
    return set(found) or matching


def _rows(
    cursor: duckdb.DuckDBPyConnection,
    wanted: Wanted,
    where: str | None,
    database: Database,
    source: str,
) -> pa.Table:
    values = {column: list(wanted.get(column, ())) for column in FILTERED}
    statement = source.replace("<where>", "true" if where is None else f"(\n{where}\n)")
    try:
        if where is not None:
            # Parse it without parentheses too: `true) OR (true` would disable the other filters.
            duckdb.extract_statements(f"SELECT {where}")
        if len(duckdb.extract_statements(statement)) != 1:
            raise ValueError(f"where={where!r} is more than one SQL statement.")
        if where is not None or wanted or has_folds(source):
            # In one query: there may be few, and a condition may choose samples at random.
            return _with_attributes(
                cursor.execute(statement, {**values, **EVERY_ID}).to_arrow_table()
            )
        return _with_attributes(fetch_images(cursor, statement, values, "image_tensors"))
    except duckdb.InterruptException:
        raise
    except duckdb.Error as error:
        with explained(database.location):
            if where is None or any(part in str(error) for part in _NOT_OF_CONDITIONS):
                raise
            # Run without the condition: if this fails too, the condition is not the cause.
            cursor.execute(source.replace("<where>", "true"), {**values, **EVERY_ID}).fetchall()
            columns = [row[0] for row in cursor.execute("DESCRIBE samples").fetchall()]
            columns += _OF_RECIPES if _OF_RECIPES[0] in source else ()
            columns += [FOLD] if has_folds(source) else ()
            attributes = [f"attributes.{name}" for name in attribute_names(cursor, "samples")]
            columns = [name for name in columns if name != "attributes"] + attributes
        raise ValueError(
            f"where={where!r} is not a SQL condition over the columns of samples: "
            f"{_said(error)} Columns: {', '.join(columns)}."
        ) from error


def _with_attributes(table: pa.Table) -> pa.Table:
    """Leave the column `attributes` out if no source dataset has attributes."""
    if "attributes" not in table.column_names:  # published by an earlier release
        return table
    names = [each.name for each in table.schema.field("attributes").type]
    return table.drop_columns(["attributes"]) if names == [*NO_ATTRIBUTES] else table


def _said(error: duckdb.Error) -> str:
    """Return the first paragraph of DuckDB's message as a sentence, without the repeated statement."""
    said = " ".join(str(error).partition("\n\n")[0].split())
    return said if said.endswith((".", "!", "?")) else f"{said}."


def _existing(cursor: duckdb.DuckDBPyConnection, location: str) -> list[dict[str, str]]:
    """Return the values of the filtered columns.

    Raises:
        LookupError: The database has no samples.
    """
    found = cursor.execute(_EXISTING).fetchall()
    if not found:
        raise _no_samples(cursor, location)
    return [dict(zip(FILTERED, row, strict=True)) for row in found]


def _refuse_unknown(wanted: Wanted, existing: list[dict[str, str]]) -> None:
    for column, values in wanted.items():
        known = sorted({row[column] for row in existing})
        if column == "label" and known == [UNKNOWN] and {*values} <= _LABELS:
            continue  # `select` gives the number of samples without a label
        for value in values:
            if value in known:
                continue
            # No suggestion for a label: the spelling closest to "not good" is the opposite label.
            offered = [] if column == "label" else known
            close = difflib.get_close_matches(value, offered, n=1, cutoff=0.5)
            meant = f" Did you mean '{shown(close[0])}'?" if close else ""
            listed = (
                _categories(existing)
                if column == "category"
                else f"Existing values: {', '.join(map(shown, known))}."
            )
            if column == "label" and value not in _LABELS:
                listed += f" Accepted words, in any case: {ACCEPTED_WORDS}."
            raise LookupError(f"{column}={value!r} does not exist.{meant} {listed}")


def _no_samples(cursor: duckdb.DuckDBPyConnection, location: str) -> LookupError:
    """Return the error about a database without samples: nothing is loaded, or all of it is excluded."""
    with suppress(duckdb.CatalogException):  # published before there were corrections
        [(excluded,)] = cursor.execute(_EXCLUDED).fetchall()
        if excluded:
            return LookupError(
                f"{location} has no samples: corrections exclude {counted(excluded, 'image')}. The view "
                "corrections names the lines. Remove some of them, and materialize the graph again."
            )
    return LookupError(f"{location} has no samples yet. Materialize the graph with a root.")


def _categories(existing: list[dict[str, str]]) -> str:
    by_dataset: dict[str, set[str]] = {}
    for row in existing:
        by_dataset.setdefault(row["source_dataset"], set()).add(row["category"])
    named = (
        f"{name}: {', '.join(map(shown, sorted(found)))}"
        for name, found in sorted(by_dataset.items())
    )
    return f"Categories: {'; '.join(named)}."


def _statistics(cursor: duckdb.DuckDBPyConnection, recipe: str | None, channels: int) -> Statistics:
    try:
        if recipe is None:
            rows = cursor.execute(_STATISTICS).fetchall()
        else:
            rows = cursor.execute(_STATISTICS_OF_RECIPE, [recipe, channels]).fetchall()
    except duckdb.CatalogException:  # published before the first summaries were computed
        return {}
    return {(row[0], row[1]): (row[2], row[3]) for row in rows}


def _asked_for(wanted: Wanted, where: str | None, assignment: Assignment | None) -> str:
    parts: list[Any] = [
        *([assignment.asked_for] if assignment else []),
        *(
            f"{column}={values[0]!r}" if len(values) == 1 else f"{column} in {list(values)}"
            for column, values in wanted.items()
        ),
    ]
    return " and ".join([*parts, *([f"({where})"] if where else [])]) or _NO_FILTER


_NOT_OF_CONDITIONS = ("checksum", "Out of Memory")
"""Parts of error messages about the file or the machine, which no condition causes."""

_EXISTING = "SELECT DISTINCT source_dataset, category, split, label FROM samples"

_EXCLUDED = """
SELECT count(DISTINCT image_id) FROM corrected_fields WHERE field = 'exclude' AND value = 'true'
"""

_CONDITIONS = """
WHERE (len($source_dataset) = 0 OR list_contains($source_dataset, source_dataset))
    AND (len($category) = 0 OR list_contains($category, category))
    AND (len($split) = 0 OR list_contains($split, split))
    AND (len($label) = 0 OR list_contains($label, label))
    AND samples.image_id BETWEEN $first AND $last
    AND <where>
"""

# Only the caller's condition, and the name of an existing recipe, are inserted into a statement as text.
# `loaded_at` has a time zone in a lake and in files of earlier releases, and none in a published file.
_COMMON = f"""
SELECT
    samples.* EXCLUDE (image_tensor, mask_tensor) REPLACE (loaded_at::TIMESTAMPTZ AS loaded_at),
    stored.row
FROM samples
JOIN (SELECT image_id AS stored_id, rowid AS row FROM image_tensors) AS stored
    ON stored_id = samples.image_id
{_CONDITIONS}
ORDER BY samples.image_id
"""  # noqa: S608
_FURTHER = f"""
SELECT * FROM (
    SELECT
        samples.* EXCLUDE (image_tensor, mask_tensor) REPLACE (
            stored.height AS height,
            stored.width AS width,
            stored.channels AS channels,
            stored.loaded_at::TIMESTAMPTZ AS loaded_at
        ),
        stored.recipe,
        stored.tile,
        stored.box,
        stored.row
    FROM samples
    JOIN (
        SELECT
            image_id AS stored_id, recipe, tile, box, height, width, channels, loaded_at, rowid AS row
        FROM recipe_tensors
        WHERE recipe = <recipe>
    ) AS stored ON stored_id = samples.image_id
) AS samples
{_CONDITIONS}
ORDER BY samples.image_id, samples.tile
"""  # noqa: S608
_ANY = f"""
SELECT * FROM (
    SELECT
        samples.* EXCLUDE (image_tensor, mask_tensor) REPLACE (loaded_at::TIMESTAMPTZ AS loaded_at),
        NULL::VARCHAR AS recipe,
        0 AS tile,
        NULL::INTEGER[] AS box
    FROM samples
) AS samples
{_CONDITIONS}
"""  # noqa: S608
_OF_RECIPES = ("recipe", "tile", "box")
"""Columns that only samples of a further recipe have."""

_STATISTICS = """
SELECT source_dataset, category, channel_means, channel_standard_deviations
FROM pixel_statistics
"""
_STATISTICS_OF_RECIPE = """
SELECT source_dataset, category, channel_means, channel_standard_deviations
FROM recipe_statistics
WHERE recipe = ? AND len(channel_means) = ?
"""
