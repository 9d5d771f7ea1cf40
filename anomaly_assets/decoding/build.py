"""Update the tensors to match the catalogue: decode stale images in parallel, each once.

A tensor is stale if the version of its file or mask, or the transform, has changed since the tensor was
decoded. An image is decoded once for all recipes whose tensors are missing or stale: that of
`image_tensors`, and further ones of `recipe_tensors`. Images are decoded in batches, by threads or by a
cluster (`open.py`), while the finished batches are inserted. A transaction has 2,048 images, which fill a
row group of each table; above 512 kB a tensor it has fewer. An interrupted run continues after its last
committed transaction.

A connection is closed after each transaction, or after 2,048 images in small ones, because DuckDB keeps
more memory with every full row group. Small transactions share one, whose memory they reuse: new memory
costs more time than writing to it. The incomplete transaction goes first: DuckDB stores the rows of a
transaction without a copy only if they fill a row group or if the table is empty.

A file that cannot be used becomes a row in `rejected_images`, and the run continues. The file is tried
again when its version or the transform changes; a file that could not be *read* is tried at every run.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import replace
from itertools import chain
from types import MappingProxyType

import duckdb
import pyarrow as pa

from anomaly_assets.decoding.batch import (
    IMAGE_COLUMNS,
    TRANSIENT,
    DecodedBatch,
    Rejection,
    deep_transform,
)
from anomaly_assets.decoding.batches import (
    cut,
    images_alike,
    stale_images,
    tasks_of,
    transactions_of,
)
from anomaly_assets.decoding.rejections import replace_by_rejections
from anomaly_assets.decoding.report import BuildReport
from anomaly_assets.decoding.workers import BATCHES_PER_WORKER, Compute, decode_in_order
from anomaly_assets.decoding.writes import Decoded, write_images
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.recipes import Recipes
from anomaly_assets.roots.base import Root
from anomaly_assets.tables.corrections import forget_masks, masks_in_use, pin_decoded
from anomaly_assets.tables.ddl import ensure_tables, row_count, sql_text, upstream_needed
from anomaly_assets.tables.identity import take_over
from anomaly_assets.tables.registry import DECODED_TABLES
from anomaly_assets.tables.source_datasets import stored_datasets
from anomaly_assets.tables.transaction import transaction
from anomaly_assets.warehouse.base import Warehouse
from anomaly_assets.warehouse.buffers import collect_and_free, drop_cached
from anomaly_assets.warehouse.file.duckdb_settings import COPIED_BYTES, rows_at_once
from anomaly_assets.warehouse.ranges import fetch_images

MOST_UNREADABLE = 0.2
"""Maximum share of unreadable files; above it, the root is the cause, not the files."""

_FEW_UNREADABLE = 5

Progress = Callable[[int, int], None]
"""Function that is called with the number of images done and the number to do."""


class TooManyUnreadableError(AnomalyAssetsError, RuntimeError):
    """So many files could not be read that their root is probably broken."""


def build_tensors(
    warehouse: Warehouse,
    roots: Mapping[str, Root],
    recipes: Recipes,
    *,
    compute: Callable[[], AbstractContextManager[Compute]],
    run_id: str | None = None,
    progress: Progress | None = None,
    allow_shrink: bool = False,
    depths: Mapping[str, int] = MappingProxyType({}),
) -> BuildReport:
    """Update the tensors, `facts` and `rejected_images` to match the catalogue and the files.

    Args:
        warehouse: Warehouse with the view `images`; the tensors are written to it.
        roots: Opened root by source dataset; images of other source datasets are unchanged.
        recipes: Recipes of the tensors; rows of other recipes are deleted.
        compute: Opens the executor of the decoding tasks; not called if nothing is stale.
        run_id: Recorded in every row.
        progress: Called as batches arrive.
        allow_shrink: Accept that a source dataset keeps fewer than 80 % of its samples.
        depths: Bits that the 16-bit files of a source dataset use, if set.

    Returns:
        Counts for people and for metadata.

    Raises:
        RootError: The root is gone, or its store does not answer.
        SamplesLostError: More than a fifth of the samples of a source dataset would be replaced by
            rejections; their tensors are kept, so that repaired files need no decoding.
        TooManyUnreadableError: More than a fifth of the files, and at least 5, cannot be read.
        WarehouseError: The catalogue does not exist yet.
        ComputeError: The executor cannot decode; complete transactions are kept.
    """
    started = time.monotonic()
    report = BuildReport()
    with closing(warehouse.turns(list(roots))) as turns:
        for names in turns:
            part = {name: roots[name] for name in names}
            with warehouse.connect() as connection:
                ensure_tables(connection)
                with upstream_needed():
                    masks = masks_in_use(connection)
            _build_part(
                warehouse, part, recipes, compute, run_id, progress, report, allow_shrink, depths
            )
            # A corrected mask belongs to a content, which is known once the image is decoded. If the mask
            # then cannot be decoded, that of the source is used.
            while (found := _decided_masks(warehouse)) != masks:
                masks, again = found, BuildReport()
                _build_part(
                    warehouse, part, recipes, compute, run_id, None, again, allow_shrink, depths
                )
                report.rejections.update(again.rejections)
                report.decode_seconds += again.decode_seconds
    report.seconds = time.monotonic() - started
    return report


def _decided_masks(warehouse: Warehouse) -> set[tuple[str, str]]:
    """Decide the pins of images that were decoded since, and return the corrected masks that are in use."""
    with warehouse.writing(), warehouse.connect() as connection:
        pin_decoded(connection)
        return masks_in_use(connection)


def _build_part(
    warehouse: Warehouse,
    roots: Mapping[str, Root],
    recipes: Recipes,
    compute: Callable[[], AbstractContextManager[Compute]],
    run_id: str | None,
    progress: Progress | None,
    report: BuildReport,
    allow_shrink: bool,
    depths: Mapping[str, int],
) -> None:
    """Build the tensors of source datasets whose locks are held, and add to the report."""
    held_back: list[Rejection] = []
    with warehouse.writing(), warehouse.connect() as connection:
        ensure_tables(connection)
        take_over(connection)
        with upstream_needed():
            report.removed += _remove_gone(connection)
            forget_masks(connection)
            report.recipe_rows_removed += _remove_recipes(connection, list(roots), recipes)
            stale = find_stale(connection, list(roots), recipes, depths)
        report.unchanged = row_count(connection, "image_tensors") - report.decoded
        if stale.num_rows:
            drop_cached(connection)
            collect_and_free(connection)  # tensors need it now
    if not stale.num_rows:
        return
    rows, most_bytes = _size_of_transactions(recipes, roots, warehouse.transaction_rows)
    alike = [stale.num_rows] if stale.num_rows <= rows else images_alike(stale, recipes)
    transactions = [images for total in alike for images in transactions_of(total, rows)]
    with compute() as opened:
        if most_bytes < math.inf:  # an image may have hundreds of megabytes of tiles
            window = max(2, opened.window // BATCHES_PER_WORKER)
            opened = replace(opened, batch_images=1, window=window)
        tasks = list(chain(*tasks_of(transactions, opened)))
        # Cut twice, when needed: a slice of Arrow takes 5 kB, as much as the rows of its images.
        objects = (stale_images(part.to_pylist(), depths, recipes) for part in cut(stale, tasks))
        decoded = decode_in_order(opened, objects, roots, recipes.common)
        batches = _noted(decoded, stale.num_rows, report, progress)
        noted = zip(cut(stale, tasks), batches, strict=True)
        started, waited = time.monotonic(), report.wait_seconds
        done = opened_at = 0
        are_small = rows < warehouse.transaction_rows or most_bytes < math.inf
        share = are_small and not warehouse.decodes_first
        with ExitStack() as writing:
            writer: duckdb.DuckDBPyConnection | None = None
            for images in transactions:
                end = done + images
                while done < end:
                    ready = _up_to(noted, end - done, most_bytes)
                    if warehouse.decodes_first:
                        ready = iter([one_batch(list(ready))])
                    if writer is None:
                        writing.enter_context(warehouse.writing())
                        writer = writing.enter_context(warehouse.connect(wide_rows=True))
                    planned = stale.slice(done, end - done)
                    written = write_images(writer, planned, ready, run_id, held_back)
                    done += written.images
                    report.changed += written.replaced
                    report.decoded -= written.given_up
                    report.recipe_rows += written.recipe_rows
                    report.recipe_rows_replaced += written.recipe_rows_replaced
                    report.unchanged = row_count(writer, "image_tensors") - report.decoded
                    if not share or done - opened_at >= warehouse.transaction_rows:
                        writing.close()
                        writer, opened_at = None, done
        report.write_seconds += time.monotonic() - started - (report.wait_seconds - waited)
    if held_back:
        with warehouse.writing(), warehouse.connect(wide_rows=True) as connection:
            report.removed += replace_by_rejections(connection, held_back, allow_shrink)
            report.unchanged = row_count(connection, "image_tensors") - report.decoded


def _size_of_transactions(
    recipes: Recipes, source_datasets: Iterable[str], most_rows: int
) -> tuple[int, float]:
    """Return the number of images of a transaction, and of bytes after which it ends before that.

    Images of several source datasets are in one transaction, so the largest recipe counts. The number of
    tiles depends on the picture, so tiles limit the bytes.
    """
    used = {recipe for name in source_datasets for recipe in recipes.of(name)}
    whole = [recipe.tensor_bytes for recipe in used if recipe.overlap is None]
    rows = min(most_rows, *map(rows_at_once, whole))
    return rows, math.inf if len(whole) == len(used) else COPIED_BYTES + rows * sum(whole)


def _up_to(batches: Iterator[Decoded], images: int, most_bytes: float) -> Iterator[Decoded]:
    """Yield batches until they have this number of images, or more bytes of pixels than the limit."""
    size = 0
    for part, batch in batches:
        yield part, batch
        images -= part.num_rows
        size += batch.tensors.nbytes + batch.recipe_tensors.nbytes
        if images <= 0 or size > most_bytes:
            return


def one_batch(decoded: list[Decoded]) -> Decoded:
    """Return several batches as one: on a lake, each INSERT writes a file."""
    parts, batches = zip(*decoded, strict=True)

    def joined(name: str) -> pa.Table:
        return pa.Table.from_batches([getattr(batch, name) for batch in batches])

    return pa.concat_tables(parts), replace(
        batches[0],
        tensors=joined("tensors"),
        recipe_tensors=joined("recipe_tensors"),
        facts=joined("facts"),
        previews=joined("previews"),
        rejections=[each for batch in batches for each in batch.rejections],
    )


def _noted(
    batches: Iterator[DecodedBatch], total: int, report: BuildReport, progress: Progress | None
) -> Iterator[DecodedBatch]:
    tried = unreadable = 0
    while True:
        asked = time.monotonic()
        batch = next(batches, None)
        report.wait_seconds += time.monotonic() - asked
        if batch is None:
            return
        tried += batch.images
        report.decode_seconds += batch.seconds
        report.decoded += batch.tensors.num_rows
        reasons = Counter(rejection.reason for rejection in batch.rejections)
        report.rejections.update(reasons)
        unreadable += sum(reasons[reason] for reason in TRANSIENT)
        _refuse_unreadable(unreadable, total, batch)
        if progress:
            progress(tried, total)
        yield batch


def _refuse_unreadable(count: int, total: int, batch: DecodedBatch) -> None:
    if count >= _FEW_UNREADABLE and count > MOST_UNREADABLE * total:
        unreadable = (rejected for rejected in batch.rejections if rejected.reason in TRANSIENT)
        last = next((f" The last one: {rejected.detail}." for rejected in unreadable), "")
        raise TooManyUnreadableError(
            f"{count} of {total} files to decode cannot be read as they were listed.{last} Nothing is "
            "lost: decoded tensors are kept, and the next run continues from there. Check the root and its "
            "permissions, and that every machine sees the same root and nothing writes to it."
        )


def _remove_gone(connection: duckdb.DuckDBPyConnection) -> int:
    """Delete the rows of images without a row in the catalogue; return the number of tensors."""
    if not connection.execute(_ANY_GONE).fetchall():
        return 0
    gone = "image_id NOT IN (SELECT image_id FROM images)"
    with transaction(connection):
        removed = {
            table: connection.execute(f"DELETE FROM {table} WHERE {gone}").fetchall()  # noqa: S608
            for table in DECODED_TABLES
        }
    return int(removed["image_tensors"][0][0])


_ANY_GONE = """
SELECT 1
FROM (
    SELECT image_id FROM rejected_images
    UNION ALL SELECT image_id FROM facts
    UNION ALL SELECT image_id FROM image_tensors
    UNION ALL SELECT image_id FROM recipe_tensors
    UNION ALL SELECT image_id FROM image_previews
)
ANTI JOIN images USING (image_id)
LIMIT 1
"""
"""Returns a row if something is to be deleted; in most runs nothing is, and one query replaces five."""


def _remove_recipes(
    connection: duckdb.DuckDBPyConnection, source_datasets: Collection[str], recipes: Recipes
) -> int:
    """Delete the rows of recipes that these source datasets no longer have; return their number."""
    removed = 0
    for name, recipe in connection.execute(
        "SELECT DISTINCT split_part(image_id, '/', 1), recipe FROM recipe_tensors"
    ).fetchall():
        if name in source_datasets and recipe not in {each.name for each in recipes.of(name)[1:]}:
            found = connection.execute(
                "DELETE FROM recipe_tensors WHERE recipe = ? AND starts_with(image_id, ?)",
                [recipe, f"{name}/"],
            ).fetchone()
            removed += int(found[0]) if found else 0
    return removed


def waiting_images(
    connection: duckdb.DuckDBPyConnection,
    source_datasets: Collection[str],
    recipes: Recipes,
    depths: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, tuple[int, str | None]]:
    """Count images without a tensor, of source datasets whose roots a run does not have.

    Returns:
        Source dataset to the number of images to decode and to its recorded root; none without such images.
    """
    found = {}
    for name, held in stored_datasets(connection).items():
        if name in source_datasets:
            stale = find_stale(connection, [name], recipes, depths)
            if stale.num_rows:
                found[name] = stale.num_rows, held.root_uri
    return found


def find_stale(
    connection: duckdb.DuckDBPyConnection,
    source_datasets: Sequence[str],
    recipes: Recipes,
    depths: Mapping[str, int] = MappingProxyType({}),
) -> pa.Table:
    """Return the images to decode, ordered by id.

    The columns are those of `StaleImage`, except formats and depth; `further` has the names of recipes.

    The images stay an Arrow table until a batch is decoded. Python objects take two and a half times the
    memory, which is too much for a driver that loads millions of images.
    """
    parameters = {
        "columns": IMAGE_COLUMNS,
        "source_datasets": list(source_datasets),
        "transform": recipes.common.transform,
        "deep_transforms": [
            deep_transform(recipes.common, depths.get(name)) for name in source_datasets
        ],
        "transient": list(TRANSIENT),
    }
    wanted = [
        (name, recipe.name, recipe.transform, deep_transform(recipe, depths.get(name)))
        for name in source_datasets
        for recipe in recipes.of(name)[1:]
    ]
    columns = zip(*wanted, strict=True) if wanted else [()] * len(_WANTED.names)
    arrays = [pa.array(column, pa.string()) for column in columns]
    connection.register("wanted_recipes", pa.table(arrays, schema=_WANTED))
    try:
        return fetch_images(connection, sql_text("stale_images"), parameters, "images")
    finally:
        connection.unregister("wanted_recipes")


_WANTED = pa.schema(
    [(name, pa.string()) for name in ("source_dataset", "recipe", "transform", "deep_transform")]
)
