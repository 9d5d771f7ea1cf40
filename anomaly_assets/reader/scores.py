"""Read the scores that the baseline gave to samples."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from anomaly_assets.reader.database import Database, explained

_HOW = "`anomaly-assets evaluate` computes and publishes them."


def scores_of(table: pa.Table, recipe: str, database: Database | None) -> pa.Table:
    """Return the scores of some samples; see `Samples.scores`.

    Args:
        table: The samples, with the columns `image_id` and `content_sha256`.
        recipe: Name of their recipe.
        database: The database that they come from; None for a cache.

    Raises:
        LookupError: The database has no scores of this recipe, or the samples come from a cache.
    """
    if database is None:
        raise LookupError("A cache has no scores. Read them from the samples before `cache`.")
    with explained(database.location), database.unchanged() as opened, opened.cursor() as cursor:
        try:
            found = cursor.execute(_SCORES, {"recipe": recipe}).to_arrow_table()
        except duckdb.CatalogException as error:  # published by an earlier release
            raise LookupError(f"{database.location} has no scores. {_HOW}") from error
        recipes = [name for (name,) in cursor.execute(_RECIPES).fetchall()]
    if not found.num_rows:
        having = f" It has scores of {', '.join(recipes)}." if recipes else ""
        raise LookupError(f"{database.location} has no scores of {recipe}.{having} {_HOW}")
    at = pc.index_in(table["image_id"], found["image_id"].combine_chunks())
    aligned = found.take(at.combine_chunks())
    # A file that was replaced since has no score yet.
    same = pc.fill_null(pc.equal(aligned["content_sha256"], table["content_sha256"]), False)
    columns = {
        name: pc.if_else(same, aligned[name], pa.scalar(None, aligned[name].type))
        for name in aligned.column_names
        if name not in ("image_id", "content_sha256")
    }
    return pa.table({"image_id": table["image_id"], **columns})


_SCORES = """
SELECT
    image_id, scores.content_sha256, role, reason, scores.label AS label_when_scored, score,
    out_of_fold_score, above_threshold, threshold
FROM baseline_scores AS scores
JOIN evaluations USING (source_dataset, category, recipe)
WHERE scores.recipe = $recipe
"""
_RECIPES = "SELECT DISTINCT recipe FROM evaluations ORDER BY ALL"
