"""List what can be evaluated in a published database, and digest what each result depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from anomaly_assets.datasets.declaration_files import built_in_declaration
from anomaly_assets.datasets.names import shown
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.reader.assignments import existing_assignments
from anomaly_assets.reader.database import Database, explained
from anomaly_assets.recipes import parse_recipe
from anomaly_assets.tables.recipes import existing_recipes

MOST_SIDE = 512
"""Largest side of a recipe that is evaluated, in pixels."""


class EvaluationError(AnomalyAssetsError, ValueError):
    """The evaluation cannot be made as it was asked for, or categories failed; the message lists them."""


class Key(NamedTuple):
    """Category and recipe that are evaluated together."""

    source_dataset: str
    category: str
    recipe: str

    def __str__(self) -> str:
        return f"{self.source_dataset}/{shown(self.category)} at {self.recipe}"


@dataclass(frozen=True)
class Subject:
    """Inputs of one result.

    Attributes:
        key: Category and recipe.
        digest: Digest of images, labels, masks, folds, recipe, network and protocol.
        images: Number of images.
        is_common: Whether its recipe is the common one.
    """

    key: Key
    digest: str
    images: int
    is_common: bool


@dataclass(frozen=True)
class Images:
    """The images of a category.

    Attributes:
        table: One row per image, ordered by `image_id`: image_id, content_sha256, split, label,
            defect_type, transform, fold in the assignment, which is null without one, and if the image has
            a split of its own, and channels of its tensor.
        near_duplicates: Pairs of ids of images that look like copies.
    """

    table: pa.Table
    near_duplicates: Sequence[tuple[str, str]] = field(default_factory=list)


def subjects_of(
    database: Database, method: Mapping[str, str], assignment: str | None
) -> list[Subject]:
    """Return what can be evaluated, ordered by category and from the smallest recipe to the largest.

    Of two recipes of equal size, one that keeps the aspect ratio is first, because it has padding.

    Args:
        database: The published database.
        method: What else the results depend on, such as the digest of the network.
        assignment: Split assignment of images without a split of their own; None for none.
    """
    with _reading(database) as cursor:
        recipes = [*_recipes(cursor)]
        common = {(name, of[0]) for name, of in existing_recipes(cursor).items()}
        found = cursor.execute(
            _CONTENTS,
            {
                "assignment": assignment,
                "source_datasets": [name for name, _ in recipes],
                "recipes": [recipe for _, recipe in recipes],
            },
        ).fetchall()
    keys = [Key(*key) for *key, _, _ in found]
    return [
        Subject(
            key,
            _digest(*key, contents, sorted(method.items())),
            images,
            (key.source_dataset, key.recipe) in common,
        )
        for key, (*_, images, contents) in zip(keys, found, strict=True)
    ]


def images_of(database: Database, key: Key, assignment: str | None) -> Images:
    """Return the images of a category that have a tensor of the recipe."""
    parameters = {**key._asdict(), "assignment": assignment}
    category = {name: parameters[name] for name in ("source_dataset", "category")}
    with _reading(database) as cursor:
        table = cursor.execute(_IMAGES, parameters).to_arrow_table()
        pairs = cursor.execute(_PAIRS, category).fetchall()
    return Images(table, [(one, other) for one, other in pairs])


def chosen_assignment(database: Database, name: str | None) -> str | None:
    """Return the split assignment for images without a split: the named one, or the only one.

    Raises:
        EvaluationError: The database has no assignment of this name.
    """
    with _reading(database) as cursor:
        existing = existing_assignments(cursor)
    if name is not None and name not in existing:
        raise EvaluationError(
            f"ANOMALY_EVALUATE_ASSIGNMENT={name!r} is no split assignment of {database.location}. "
            f"Existing ones: {', '.join(map(shown, existing)) or 'none'}."
        )
    if name is None and len(existing) == 1:
        return next(iter(existing))
    return name


def has_rough_masks(database: Database, source_dataset: str) -> bool:
    """Return whether a source dataset has the masks of DAGM 2007, which are ellipses around the defects.

    The declaration decides, because a dataset with `like = "dagm_2007"` can have any name. A release before
    0.2 stored none, and had no other dataset with these masks.
    """
    with _reading(database) as cursor:
        query = "SELECT declaration FROM source_datasets WHERE source_dataset = ?"
        [(stored,)] = cursor.execute(query, [source_dataset]).fetchall()
    if stored is None:
        return source_dataset == _ROUGH
    masks = json.loads(built_in_declaration(_ROUGH).canonical_json)["masks"]
    return bool(json.loads(stored).get("masks") == masks)


_ROUGH = "dagm_2007"


@contextmanager
def _reading(database: Database) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a cursor; raise `EvaluationError` if a table or column does not exist."""
    with explained(database.location), database.unchanged() as opened, opened.cursor() as cursor:
        try:
            yield cursor
        except (duckdb.BinderException, duckdb.CatalogException) as error:
            said = str(error).partition("\n")[0].rstrip(".!")
            raise EvaluationError(
                f"{database.location} lacks what the evaluation reads: {said}. If an earlier release "
                "published it, run `anomaly-assets materialize` once, which publishes it again."
            ) from error


def _recipes(cursor: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, str]]:
    """Yield source dataset and name of each untiled recipe of at most 512 pixels."""
    for source_dataset, names in existing_recipes(cursor).items():
        for name in names:
            recipe = parse_recipe(name)
            if recipe.overlap is None and max(recipe.height, recipe.width) <= MOST_SIDE:
                yield source_dataset, name


def _digest(*values: Any) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()


_STORED = """
WITH wanted AS (
    SELECT unnest($source_datasets::VARCHAR[]) AS source_dataset, unnest($recipes::VARCHAR[]) AS recipe
),
stored AS (
    SELECT image_id, recipes.recipe, tensors.transform, height * width AS pixels
    FROM (SELECT image_id, transform, height, width FROM image_tensors) AS tensors
    JOIN recipes ON recipes.is_common AND recipes.source_dataset = split_part(image_id, '/', 1)
    UNION ALL
    SELECT image_id, recipe, transform, height * width
    FROM recipe_tensors
    WHERE tile = 0
)
"""

_CONTENTS = f"""
{_STORED},
rows AS (
    SELECT samples.source_dataset, samples.category, stored.recipe, pixels, md5_number(
        concat_ws(
            chr(10), image_id, content_sha256, split, label, coalesce(defect_type, ''),
            coalesce(mask_area_fraction::VARCHAR, ''), coalesce(mask_version, ''), transform,
            if(split = 'unassigned', coalesce(fold, ''), '')
        )
    ) AS content
    FROM samples_without_tensors AS samples
    JOIN stored USING (image_id)
    JOIN wanted ON wanted.source_dataset = samples.source_dataset AND wanted.recipe = stored.recipe
    JOIN (SELECT image_id, mask_file_version AS mask_version FROM facts) USING (image_id)
    LEFT JOIN (SELECT image_id, fold FROM splits WHERE assignment = $assignment) USING (image_id)
),
pairs AS (
    SELECT source_dataset, category, bit_xor(md5_number(image_id_a || chr(10) || image_id_b)) AS content
    FROM near_duplicates
    GROUP BY ALL
)
SELECT
    source_dataset, category, recipe, count(*),
    bit_xor(rows.content) || '-' || coalesce(any_value(pairs.content), 0)
FROM rows
LEFT JOIN pairs USING (source_dataset, category)
GROUP BY ALL
ORDER BY source_dataset, category, max(pixels), bool_or(NOT ends_with(recipe, '/fit')), recipe
"""  # noqa: S608

_IMAGES = """
SELECT
    image_id, content_sha256, split, label, defect_type, transform,
    if(split = 'unassigned', fold, NULL) AS fold, stored.channels
FROM samples_without_tensors AS samples
JOIN (
    SELECT image_id, transform, channels FROM recipe_tensors WHERE recipe = $recipe AND tile = 0
    UNION ALL
    SELECT image_id, tensors.transform, tensors.channels FROM image_tensors AS tensors
    JOIN recipes ON recipes.is_common AND recipes.source_dataset = $source_dataset
        AND recipes.recipe = $recipe
    WHERE starts_with(image_id, $source_dataset || '/')
) AS stored USING (image_id)
LEFT JOIN (SELECT image_id, fold FROM splits WHERE assignment = $assignment) USING (image_id)
WHERE source_dataset = $source_dataset AND category = $category
ORDER BY image_id
"""

_PAIRS = """
SELECT image_id_a, image_id_b FROM near_duplicates
WHERE source_dataset = $source_dataset AND category = $category
ORDER BY ALL
"""
