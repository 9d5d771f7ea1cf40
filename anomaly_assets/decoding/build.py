"""Update the tensors to match the catalogue: decode stale images in parallel, each once.

A tensor is stale if the version of its file or mask, or the transform, has changed since the tensor was
decoded. Stale images are decoded in batches, by threads or by a cluster (`open.py`), while DuckDB reads
the finished batches as Arrow. A transaction has 2,048 rows, which is one row group of the table; for
tensors above 256 x 256 x 3 it has fewer. An interrupted run continues after its last committed
transaction.

Each transaction has its own connection, because DuckDB frees its memory only when it is closed. The
incomplete transaction goes first: DuckDB stores the rows of a transaction without a copy only if they
fill a row group or if the table is empty.

A file that cannot be used becomes a row in `rejected_images`, and the run continues. The file is tried
again when its version or the transform changes; a file that could not be *read* is tried at every run.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, suppress
from itertools import chain, islice
from types import MappingProxyType

import duckdb
import pyarrow as pa

from anomaly_assets.decoding.batch import (
    FACTS_SCHEMA,
    IMAGE_COLUMNS,
    TENSORS_SCHEMA,
    TRANSIENT,
    DecodedBatch,
    Rejection,
    deep_transform,
)
from anomaly_assets.decoding.batches import cut, stale_images, tasks_of, transactions_of
from anomaly_assets.decoding.rejections import insert_rejections, replace_by_rejections
from anomaly_assets.decoding.report import BuildReport
from anomaly_assets.decoding.workers import Compute, decode_in_order
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.roots.base import Root
from anomaly_assets.tables.ddl import ensure_tables, row_count, sql_text, upstream_needed
from anomaly_assets.tables.identity import take_over
from anomaly_assets.tables.source_datasets import stored_datasets
from anomaly_assets.tensor_spec import TensorSpec
from anomaly_assets.warehouse.base import Warehouse
from anomaly_assets.warehouse.file.duckdb_settings import rows_at_once

MOST_UNREADABLE = 0.2
"""Maximum share of unreadable files; above it, the root is the cause, not the files."""

_FEW_UNREADABLE = 5

_KNOWN = """
SELECT
    image_id,
    -- A mask was added or removed, so the label may have changed: this tensor must not be kept.
    CASE WHEN (known.mask_file_version IS NULL) = (stale.mask_file_version IS NULL) THEN
        -- A tensor of a deep file is kept too while its file cannot be read.
        regexp_replace(known.transform, '-depth-.*$', '') END
FROM image_tensors AS known JOIN stale USING (image_id)
"""

Progress = Callable[[int, int], None]
"""Function that is called with the number of images done and the number to do."""


class TooManyUnreadableError(AnomalyAssetsError, RuntimeError):
    """So many files could not be read that their root is probably broken."""


def build_tensors(
    warehouse: Warehouse,
    roots: Mapping[str, Root],
    spec: TensorSpec,
    *,
    compute: Callable[[], AbstractContextManager[Compute]],
    run_id: str | None = None,
    progress: Progress | None = None,
    allow_shrink: bool = False,
    depths: Mapping[str, int] = MappingProxyType({}),
) -> BuildReport:
    """Update `image_tensors`, `facts` and `rejected_images` to match the catalogue and the files.

    Args:
        warehouse: Warehouse with the view `images`; the tensors are written to it.
        roots: Opened root by source dataset; images of other source datasets are unchanged.
        spec: Shape of the tensors.
        compute: Opens the executor of the decoding tasks; not called if nothing is stale.
        run_id: Recorded in every row.
        progress: Called as batches arrive.
        allow_shrink: Accept that a source dataset keeps fewer than 80 % of its samples.
        depths: Bits that the 16-bit files of a source dataset use, where set.

    Returns:
        Counts for people and for metadata.

    Raises:
        RootError: The root is gone, or its store does not answer.
        SamplesLostError: More than a fifth of the samples of a source dataset would be replaced by
            rejections; their tensors are kept, so that repaired files need no decoding.
        TooManyUnreadableError: More than a fifth of the files, and at least 5, cannot be read.
        WarehouseError: There is no catalogue yet.
        ComputeError: The executor cannot decode; complete transactions are kept.
    """
    started = time.monotonic()
    pa.default_memory_pool().release_unused()  # free the memory of the catalogue; tensors need it now
    report = BuildReport()
    with closing(warehouse.turns(list(roots))) as turns:
        for names in turns:
            part = {name: roots[name] for name in names}
            _build_part(
                warehouse, part, spec, compute, run_id, progress, report, allow_shrink, depths
            )
    report.seconds = time.monotonic() - started
    return report


def _build_part(
    warehouse: Warehouse,
    roots: Mapping[str, Root],
    spec: TensorSpec,
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
            stale = find_stale(connection, list(roots), spec, depths)
        report.unchanged = row_count(connection, "image_tensors") - report.decoded
    if not stale.num_rows:
        return
    rows = min(rows_at_once(spec.tensor_bytes), warehouse.transaction_rows)
    transactions = transactions_of(stale.num_rows, rows)
    with compute() as opened:
        tasks = tasks_of(transactions, opened)
        images = (stale_images(rows.to_pylist(), depths) for rows in cut(stale, chain(*tasks)))
        decoded = decode_in_order(opened, images, roots, spec)
        noted = _noted(decoded, stale.num_rows, report, progress)
        started, waited = time.monotonic(), report.wait_seconds
        for transaction, batches in zip(cut(stale, transactions), tasks, strict=True):
            ready: Iterator[DecodedBatch] = islice(noted, len(batches))
            if warehouse.decodes_first:
                ready = iter(list(ready))
            with warehouse.writing(), warehouse.connect(wide_rows=True) as connection:
                replaced, given_up = _write(connection, transaction, ready, run_id, held_back)
                report.changed += replaced
                report.decoded -= given_up
                report.unchanged = row_count(connection, "image_tensors") - report.decoded
        report.write_seconds += time.monotonic() - started - (report.wait_seconds - waited)
    if held_back:
        with warehouse.writing(), warehouse.connect(wide_rows=True) as connection:
            report.removed += replace_by_rejections(connection, held_back, allow_shrink)
            report.unchanged = row_count(connection, "image_tensors") - report.decoded


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
            "lost: decoded tensors are kept, and the next run goes on from there. Check the root and its "
            "permissions, and that every machine sees the same root and nothing writes to it."
        )


def _write(
    connection: duckdb.DuckDBPyConnection,
    images: pa.Table,
    batches: Iterator[DecodedBatch],
    run_id: str | None,
    held_back: list[Rejection],
) -> tuple[int, int]:
    """Replace the stored rows of some images by the decoded ones, in one transaction.

    If a file or its mask could not be read as it was listed, an existing tensor is kept. Other
    rejections of images that have a tensor are added to `held_back` and not written: whether so many
    samples may be lost is decided after all files were tried.

    Returns:
        Number of replaced tensors, and number of tensors that were decoded without their mask and
        dropped in favour of the existing one.
    """
    rejections: list[Rejection] = []
    facts: list[pa.RecordBatch] = []
    failures: list[Exception] = []
    known: dict[str, str | None] = {}
    kept: set[str] = set()
    given_up = 0

    def tensors() -> Iterator[pa.RecordBatch]:
        nonlocal given_up
        try:
            for batch in batches:
                rejections.extend(batch.rejections)
                kept.update(_with_good_tensors(batch.rejections, known))
                usable = _without(batch.tensors, kept)
                given_up += batch.tensors.num_rows - usable.num_rows
                facts.append(_without(batch.facts, kept))
                yield usable
        except Exception as error:
            failures.append(error)
            raise

    connection.register("stale", images.select(["image_id", "mask_file_version"]))
    connection.register("decoded", pa.RecordBatchReader.from_batches(TENSORS_SCHEMA, tensors()))
    connection.begin()
    try:
        # New rows get larger row ids than all committed rows, so `rowid <= last_row` selects the old
        # ones.
        [(last_row,)] = connection.execute("SELECT max(rowid) FROM image_tensors").fetchall()
        known.update(connection.execute(_KNOWN).fetchall())
        connection.execute(
            "INSERT INTO image_tensors BY NAME SELECT * REPLACE ($run_id AS run_id) FROM decoded",
            {"run_id": run_id},
        )
        unusable = {each.image_id for each in rejections if not each.of_mask}
        held = (unusable & known.keys()) - kept
        held_back.extend(each for each in rejections if each.image_id in held)
        for name, image_ids in (("held", held), ("staying", held | kept)):
            ids = pa.array(sorted(image_ids), pa.string())
            connection.register(name, pa.table({"image_id": ids}))
        connection.register("decoded_facts", pa.Table.from_batches(facts, FACTS_SCHEMA))
        of_these = "image_id IN (SELECT image_id FROM stale)"
        replaced = f"{of_these} AND image_id NOT IN (FROM staying)"
        if known:
            connection.execute(
                f"DELETE FROM image_tensors WHERE rowid <= ? AND {replaced}",  # noqa: S608
                [last_row],
            )
        connection.execute(f"DELETE FROM facts WHERE {replaced}")  # noqa: S608
        connection.execute("INSERT INTO facts BY NAME FROM decoded_facts")
        connection.execute(
            f"DELETE FROM rejected_images WHERE {of_these} AND image_id NOT IN (FROM held)"  # noqa: S608
        )
        insert_rejections(connection, [each for each in rejections if each.image_id not in held])
        connection.commit()
        return len(known.keys() - held - kept), given_up
    except BaseException:
        # A signal that aborted the commit has ended the transaction already.
        with suppress(duckdb.TransactionException):
            connection.rollback()
        if failures:  # raise the cause without DuckDB's wrapper and its second traceback
            raise failures[0] from None
        raise
    finally:
        for name in ("stale", "decoded", "decoded_facts", "held", "staying"):
            connection.unregister(name)


def _with_good_tensors(
    rejections: Sequence[Rejection], known: Mapping[str, str | None]
) -> set[str]:
    """Return images that keep their tensor, because reading failed only temporarily (see `TRANSIENT`).

    Args:
        rejections: Files that could not be used.
        known: Transform of the existing tensor by image; None if the tensor must not be kept.
    """
    return {
        rejected.image_id
        for rejected in rejections
        if rejected.reason in TRANSIENT and known.get(rejected.image_id) == rejected.transform
    }


def _without(tensors: pa.RecordBatch, image_ids: set[str]) -> pa.RecordBatch:
    if image_ids.isdisjoint(ids := tensors["image_id"].to_pylist()):
        return tensors
    return tensors.filter(pa.array([image_id not in image_ids for image_id in ids]))


def _remove_gone(connection: duckdb.DuckDBPyConnection) -> int:
    """Delete the rows of images that left the catalogue; return the number of deleted tensors."""
    if not connection.execute(_ANY_GONE).fetchall():
        return 0
    gone = "image_id NOT IN (SELECT image_id FROM images)"
    for table in ("rejected_images", "facts"):
        connection.execute(f"DELETE FROM {table} WHERE {gone}")  # noqa: S608
    removed = connection.execute(f"DELETE FROM image_tensors WHERE {gone}").fetchone()  # noqa: S608
    return int(removed[0]) if removed else 0


_ANY_GONE = """
SELECT 1
FROM (
    SELECT image_id FROM rejected_images
    UNION ALL SELECT image_id FROM facts
    UNION ALL SELECT image_id FROM image_tensors
)
ANTI JOIN images USING (image_id)
LIMIT 1
"""
"""Returns a row if something is to be deleted; in most runs nothing is, and one query replaces three."""


def waiting_images(
    connection: duckdb.DuckDBPyConnection,
    source_datasets: Collection[str],
    spec: TensorSpec,
    depths: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, tuple[int, str | None]]:
    """Count images without a tensor, of source datasets whose roots a run does not have.

    Returns:
        Source dataset to the number of images to decode and to its recorded root; none without such images.
    """
    found = {}
    for name, held in stored_datasets(connection).items():
        if name in source_datasets:
            stale = find_stale(connection, [name], spec, depths)
            if stale.num_rows:
                found[name] = stale.num_rows, held.root_uri
    return found


def find_stale(
    connection: duckdb.DuckDBPyConnection,
    source_datasets: Sequence[str],
    spec: TensorSpec,
    depths: Mapping[str, int] = MappingProxyType({}),
) -> pa.Table:
    """Return the images to decode, with the columns of `StaleImage`, ordered by id.

    The images stay an Arrow table until a batch is decoded. Python objects take two and a half times the
    memory, too much for the driver of a load of millions.
    """
    parameters = {
        "columns": IMAGE_COLUMNS,
        "source_datasets": list(source_datasets),
        "transform": spec.transform,
        "deep_transforms": [deep_transform(spec, depths.get(name)) for name in source_datasets],
        "transient": list(TRANSIENT),
    }
    return connection.execute(sql_text("stale_images"), parameters).to_arrow_table()
