"""Record and check the recipes of a warehouse.

The common recipe is stored in the warehouse. Otherwise two machines with different settings would rebuild
all tensors alternately, at every publication. A machine without a setting uses the stored recipe. A machine
with another setting is refused until the user changes the shape of the warehouse on purpose.

Further recipes are rows of `recipes`. Those of ANOMALY_SIZES stay until the variable names others. Those
of a declaration follow the declaration. A warehouse of an earlier release keeps its tensors as they are:
the further recipes of built-in declarations, which came later, are added on request only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Final

import duckdb

from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.errors import WarehouseError, rerun_with
from anomaly_assets.recipes import PILLOW, SIMD, Recipe, Recipes, parse_recipe, resize_of
from anomaly_assets.settings import Settings
from anomaly_assets.tables.source_datasets import stored_datasets

TENSOR_SHAPE = "tensor_shape"
"""Table of a warehouse with its common recipe, in one row."""

SETTING: Final = "ANOMALY_SIZES"
DECLARATION: Final = "declaration"
UPGRADE: Final = "upgrade"

RecipeNames = Mapping[str, tuple[str, ...]]
"""Map of a source dataset to the names of its recipes, the common one first."""


WhyNot = Callable[[], str | None]
"""Function that returns why this machine cannot resize with SIMD; None if it can."""


def recipes_for(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    *,
    why_not_simd: WhyNot,
    change: bool = False,
) -> Recipes:
    """Return the recipes of a run.

    Args:
        connection: The warehouse, after `ensure_tables`.
        settings: Settings of this machine; missing ones come from the warehouse.
        why_not_simd: Called if tensors are to be resized with SIMD.
        change: Use the settings although the warehouse has another common recipe.

    Raises:
        WarehouseError: The warehouse has another common recipe, or this machine cannot resize as it was
            recorded or set; the message explains what to do.
    """
    common = common_recipe(connection, settings, why_not_simd=why_not_simd, change=change)
    further = {}
    for name, (recipes, _) in _further(connection, settings).items():
        resized = (recipe.resized_by(common.resize) for recipe in recipes)
        further[name] = tuple(recipe for recipe in resized if recipe != common)
    return Recipes(common, {name: recipes for name, recipes in further.items() if recipes})


def common_recipe(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    *,
    why_not_simd: WhyNot,
    change: bool = False,
) -> Recipe:
    """Return the common recipe of a run; see `recipes_for`."""
    recorded = _read(connection)
    resize = settings.resize or (recorded.resize if recorded else _resize_held(connection))
    if resize is None:
        resize = PILLOW if why_not_simd() else SIMD
    elif resize == SIMD and (obstacle := why_not_simd()):
        raise WarehouseError(
            f"The tensors of this warehouse are resized with SIMD, which this machine cannot do: "
            f"{obstacle} Or set ANOMALY_RESIZE=pillow, which decodes all images again."
        )
    if recorded is None:
        return settings.recipe.resized_by(resize)
    asked = settings.recipe_over(recorded)
    if asked == recorded:
        return asked
    if change or asked.resized_by(recorded.resize) == recorded:
        _refuse_two_shapes(connection, settings)
        return asked
    if settings.sizes is not None:
        sizes = ",".join(recipe.name for recipe in (recorded, settings.recipe, *settings.sizes))
        raise WarehouseError(
            f"The tensors of this warehouse are {_named(recorded)}; ANOMALY_SIZES begins with "
            f"{settings.recipe.name}. To add recipes, begin with that of the warehouse: "
            f"ANOMALY_SIZES={sizes}. To rebuild all tensors on purpose, "
            f"{rerun_with('image_tensors', 'change_shape')}"
        )
    raise WarehouseError(
        f"The tensors of this warehouse are {_named(recorded)}; ANOMALY_IMAGE_SIZE and ANOMALY_CHANNELS of "
        f"this machine ask for {_named(asked)}. Unset the two variables to use the shape of the warehouse. "
        f"To rebuild all tensors on purpose, {rerun_with('image_tensors', 'change_shape')}"
    )


def _further(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> dict[str, tuple[tuple[Recipe, ...], str]]:
    """Return further recipes and what named them, by source dataset of the warehouse."""
    recorded: dict[str, tuple[list[Recipe], str]] = {}
    for name, recipe, is_common, named_by in connection.execute(
        "SELECT source_dataset, recipe, is_common, named_by FROM recipes ORDER BY recipe"
    ).fetchall():
        recipes, _ = recorded.setdefault(name, ([], named_by))
        if not is_common:
            recipes.append(parse_recipe(recipe))
    stored = stored_datasets(connection)
    decoded: set[str] = set()
    if stored.keys() - recorded.keys():
        found = connection.execute(
            "SELECT DISTINCT split_part(image_id, '/', 1) FROM image_tensors"
        )
        decoded = {name for (name,) in found.fetchall()}
    chosen: dict[str, tuple[tuple[Recipe, ...], str]] = {}
    for name, held in stored.items():
        before, named_by = recorded.get(name, ([], UPGRADE if name in decoded else DECLARATION))
        dataset = SOURCE_DATASETS.get(name)
        is_kept = named_by == SETTING and not held.from_samples
        if dataset is None or (named_by == UPGRADE and dataset.declaration.is_built_in):
            is_kept = True
        if settings.sizes is not None:
            chosen[name] = settings.sizes, SETTING
        elif is_kept and not settings.sizes_as_declared:
            chosen[name] = tuple(before), named_by
        else:
            chosen[name] = dataset.declaration.size if dataset else (), DECLARATION
    return chosen


def ignored_declarations(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> dict[str, list[str]]:
    """Return declared recipes that earlier ones of ANOMALY_SIZES replace, by source dataset.

    A dataset that declares none is not in the result.
    """
    found = {}
    for name, (recipes, named_by) in _further(connection, settings).items():
        dataset = SOURCE_DATASETS.get(name)
        declared = dataset.declaration.size if dataset else ()
        if settings.sizes is None and named_by == SETTING and not set(declared) <= set(recipes):
            found[name] = [recipe.name for recipe in declared]
    return found


def record_recipes(
    connection: duckdb.DuckDBPyConnection,
    recipes: Recipes,
    settings: Settings,
    source_datasets: Collection[str],
) -> None:
    """Record the recipes of a run; write only changes.

    Args:
        connection: The warehouse.
        recipes: Recipes of the run.
        settings: Settings of this machine.
        source_datasets: Source datasets whose tensors the run builds; rows of others keep their recipes.
    """
    record_spec(connection, recipes.common)
    before = set(connection.execute(f"SELECT {_COLUMNS} FROM recipes").fetchall())  # noqa: S608
    known = {row[1] for row in before}
    stored = stored_datasets(connection)
    rows = {row for row in before if row[1] in stored and row[1] not in source_datasets}
    for name, (_, named_by) in _further(connection, settings).items():
        if name in source_datasets or name not in known:
            rows.update(
                (recipe.name, name, recipe.transform, recipe == recipes.common, named_by)
                for recipe in recipes.of(name)
            )
    if rows == before:
        return
    connection.begin()
    connection.execute("DELETE FROM recipes")
    for row in sorted(rows):
        connection.execute(f"INSERT INTO recipes ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)", row)  # noqa: S608
    connection.commit()


_COLUMNS = "recipe, source_dataset, transform, is_common, named_by"


def _resize_held(connection: duckdb.DuckDBPyConnection) -> str | None:
    """Return how the tensors of a warehouse without a record are resized; None if it has none."""
    found = connection.execute("SELECT transform FROM image_tensors LIMIT 1").fetchone()
    if found is None:
        return None
    return resize_of(found[0])


def _refuse_two_shapes(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Refuse to change the shape if the run cannot rebuild the tensors of a source dataset."""
    unread = [
        f"{name.upper()}_ROOT"
        for name in stored_datasets(connection)
        if not settings.roots.get(name)
    ]
    if unread:
        raise WarehouseError(
            f"The tensors would have two shapes, because this run does not read all datasets of the "
            f"warehouse: set {', '.join(unread)}, or remove a dataset with `anomaly-assets forget NAME`."
        )


def record_spec(connection: duckdb.DuckDBPyConnection, spec: Recipe) -> None:
    """Record the common recipe, if it is not recorded.

    Nothing is recorded for the samples of the repository, so that new users can try sizes.
    """
    held = stored_datasets(connection).values()
    if _read(connection) == spec or all(dataset.from_samples for dataset in held):
        return
    values = [spec.height, spec.width, spec.channels, spec.resize]
    connection.begin()
    connection.execute(
        f"CREATE OR REPLACE TABLE {TENSOR_SHAPE} (height INTEGER NOT NULL, width INTEGER NOT NULL, "
        "channels INTEGER NOT NULL, resize VARCHAR NOT NULL)"
    )
    connection.execute(f"INSERT INTO {TENSOR_SHAPE} VALUES (?, ?, ?, ?)", values)  # noqa: S608
    connection.commit()


def record_loaded(connection: duckdb.DuckDBPyConnection) -> None:
    """Record the most frequent shape in a warehouse of a release that did not record it."""
    with suppress(duckdb.CatalogException):  # there is no catalogue yet
        if found := connection.execute(_HELD).fetchone():
            record_spec(connection, Recipe(found[0], found[1], found[2], PILLOW))


def _read(connection: duckdb.DuckDBPyConnection) -> Recipe | None:
    try:
        found = connection.execute(f"FROM {TENSOR_SHAPE}").fetchone()
    except duckdb.CatalogException:
        return None
    return (
        Recipe(*found) if found else None
    )  # a release before 0.2 recorded no resize: it was Pillow's


def _named(spec: Recipe) -> str:
    return (
        f"{spec.height}x{spec.width} with {spec.channels} channel{'s' if spec.channels > 1 else ''}"
    )


_HELD = """
SELECT height, width, channels, count(*) AS tensors
FROM image_tensors
SEMI JOIN (
    SELECT image_id FROM images JOIN source_datasets USING (source_dataset) WHERE NOT from_samples
) AS held USING (image_id)
GROUP BY ALL ORDER BY tensors DESC, height, width, channels LIMIT 1
"""


def existing_recipes(cursor: duckdb.DuckDBPyConnection) -> RecipeNames:
    """Return the recipes of a database; one that is older than recipes has only the common one."""
    try:
        found = cursor.execute(_RECORDED).fetchall()
    except duckdb.CatalogException:
        found = []
    if not found:
        found = cursor.execute(_OF_TENSORS).fetchall()
    names: dict[str, tuple[str, ...]] = {}
    for source_dataset, recipe in found:
        names[source_dataset] = (*names.get(source_dataset, ()), recipe)
    return names


def listed_recipes(recipes: RecipeNames) -> str:
    """Return the recipes of each source dataset in one line."""
    return "; ".join(f"{dataset}: {', '.join(names)}" for dataset, names in sorted(recipes.items()))


_RECORDED = """
SELECT source_dataset, recipe FROM recipes
ORDER BY source_dataset, is_common DESC, recipe
"""
_OF_TENSORS = """
SELECT split_part(image_id, '/', 1), format('{}x{}x{}', height, width, channels)
FROM image_tensors GROUP BY ALL ORDER BY ALL
"""
