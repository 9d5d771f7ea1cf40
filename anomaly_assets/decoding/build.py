"""Bring the tensors up to date with the catalogue: decode what is stale, in parallel, once.

A tensor is stale when the version of its file or mask, or the transform, differs from those it was
made of. Stale images are decoded in batches, by threads or by a cluster (`compute.py`), while DuckDB takes
the finished batches as Arrow. Every 2,048 rows, which is one row group of the table, are one transaction;
of tensors above 256 x 256 x 3 there are fewer in one. A run that is interrupted resumes after the last one.

Each transaction has a connection of its own: DuckDB keeps what it allocated until it is closed. What does
not fill a row group goes first, because DuckDB takes over the rows of a transaction as they are only if
they fill one or if the table is empty, and copies them otherwise.

A file that cannot be used becomes a row in `rejected_images`, and the run goes on. It is tried again
when its version or the transform changes; a file that could not be *read* is tried at every run.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, suppress
from itertools import chain, islice

import duckdb
import pyarrow as pa

from anomaly_assets.decoding.batch import (
    IMAGE_COLUMNS,
    TENSORS_SCHEMA,
    TRANSIENT,
    DecodedBatch,
    Rejection,
)
from anomaly_assets.decoding.batches import cut, stale_images, tasks_of, transactions_of
from anomaly_assets.decoding.rejections import insert_rejections, replace_by_rejections
from anomaly_assets.decoding.report import BuildReport
from anomaly_assets.decoding.workers import Compute, decode_in_order
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.roots.base import Root
from anomaly_assets.tables.ddl import ensure_tables, row_count, sql_text, upstream_needed
from anomaly_assets.tables.identity import take_over
from anomaly_assets.tensor_spec import TensorSpec
from anomaly_assets.warehouse.base import Warehouse
from anomaly_assets.warehouse.file.duckdb_settings import rows_at_once

MOST_UNREADABLE = 0.2
"""Share of the files tried from which unreadable ones are a fault of the root, not of the files."""

_FEW_UNREADABLE = 5

_KNOWN = """
SELECT
    image_id,
    -- One whose mask came or went goes with another label than it had.
    CASE WHEN (known.mask_file_version IS NULL) = (stale.mask_file_version IS NULL) THEN known.transform END
FROM image_tensors AS known JOIN stale USING (image_id)
"""

Progress = Callable[[int, int], None]
"""Called with the number of images done and the number to do."""


class TooManyUnreadableError(AnomalyAssetsError, RuntimeError):
    """So many files could not be read that something is wrong with their root."""


def build_tensors(
    warehouse: Warehouse,
    roots: Mapping[str, Root],
    spec: TensorSpec,
    *,
    compute: Callable[[], AbstractContextManager[Compute]],
    run_id: str | None = None,
    progress: Progress | None = None,
    allow_shrink: bool = False,
) -> BuildReport:
    """Make `image_tensors` and `rejected_images` equal to what the catalogue and the files say.

    Args:
        warehouse: Holds `images`, and takes the tensors.
        roots: Source dataset to its opened root; images of other source datasets stay as they are.
        spec: Shape of the tensors.
        compute: Makes ready what runs the decoding tasks; not called where there is nothing to decode.
        run_id: Noted with every row.
        progress: Called as batches arrive.
        allow_shrink: Accept that a source dataset keeps fewer than 80 % of its samples.

    Returns:
        Counts for people and for metadata.

    Raises:
        RootError: A root is gone, or its store does not answer.
        SamplesLostError: More than a fifth of the samples of a source dataset would be replaced by
            rejections; their tensors stay, so that a repair of the files costs no decoding.
        TooManyUnreadableError: More than a fifth of the files, and at least 5, cannot be read.
        WarehouseError: There is no catalogue yet.
        ComputeError: What should decode cannot; transactions that were complete stay.
    """
    started = time.monotonic()
    pa.default_memory_pool().release_unused()  # what the catalogue took, which tensors need now
    report = BuildReport()
    with closing(warehouse.turns(list(roots))) as turns:
        for names in turns:
            part = {name: roots[name] for name in names}
            _build_part(warehouse, part, spec, compute, run_id, progress, report, allow_shrink)
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
) -> None:
    """Build the tensors of source datasets that nobody else is at, and add to the report."""
    held_back: list[Rejection] = []
    with warehouse.writing(), warehouse.connect() as connection:
        ensure_tables(connection)
        take_over(connection)
        with upstream_needed():
            report.removed += _remove_gone(connection)
            stale = find_stale(connection, list(roots), spec)
        report.unchanged = row_count(connection, "image_tensors") - report.decoded
    if not stale.num_rows:
        return
    rows = min(rows_at_once(spec.tensor_bytes), warehouse.transaction_rows)
    transactions = transactions_of(stale.num_rows, rows)
    with compute() as opened:
        tasks = tasks_of(transactions, opened)
        images = (stale_images(rows.to_pylist()) for rows in cut(stale, chain(*tasks)))
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
            "lost: what was decoded stays, and the next run goes on from there. Check the root and its "
            "permissions, and whether it is the same one everywhere and at rest."
        )


def _write(
    connection: duckdb.DuckDBPyConnection,
    images: pa.Table,
    batches: Iterator[DecodedBatch],
    run_id: str | None,
    held_back: list[Rejection],
) -> tuple[int, int]:
    """Replace what is stored for some images by what was decoded, in one transaction.

    Where a file or its mask could not be read as it was listed, the tensor that there is stays. Other
    rejections of images that have a tensor are not written but added to `held_back`: whether so many may be
    lost is decided when all are known.

    Returns:
        How many tensors were replaced, and how many were decoded without their mask and given up for the
        one that there was.
    """
    rejections: list[Rejection] = []
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
                yield usable
        except Exception as error:
            failures.append(error)
            raise

    connection.register("stale", images.select(["image_id", "mask_file_version"]))
    connection.register("decoded", pa.RecordBatchReader.from_batches(TENSORS_SCHEMA, tensors()))
    connection.begin()
    try:
        # Rows of this transaction get larger row ids than all that are committed.
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
        of_these = "image_id IN (SELECT image_id FROM stale)"
        if known:
            connection.execute(
                f"DELETE FROM image_tensors WHERE rowid <= ? AND {of_these} "  # noqa: S608
                "AND image_id NOT IN (FROM staying)",
                [last_row],
            )
        connection.execute(
            f"DELETE FROM rejected_images WHERE {of_these} AND image_id NOT IN (FROM held)"  # noqa: S608
        )
        insert_rejections(connection, [each for each in rejections if each.image_id not in held])
        connection.commit()
        return len(known.keys() - held - kept), given_up
    except BaseException:
        with suppress(duckdb.TransactionException):  # a commit that a signal ended has ended it
            connection.rollback()
        if failures:  # DuckDB puts its own words, and a second traceback, around what went wrong
            raise failures[0] from None
        raise
    finally:
        for name in ("stale", "decoded", "held", "staying"):
            connection.unregister(name)


def _with_good_tensors(
    rejections: Sequence[Rejection], known: Mapping[str, str | None]
) -> set[str]:
    """Return images of which a file could not be read as it was listed, and whose tensor can stay.

    Args:
        rejections: What could not be used.
        known: Image to the transform of the tensor that it has; None where that cannot stay.
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
    """Remove what belongs to images that are no longer in the catalogue; count the tensors."""
    gone = "image_id NOT IN (SELECT image_id FROM images)"
    connection.execute(f"DELETE FROM rejected_images WHERE {gone}")  # noqa: S608
    removed = connection.execute(f"DELETE FROM image_tensors WHERE {gone}").fetchone()  # noqa: S608
    return int(removed[0]) if removed else 0


def find_stale(
    connection: duckdb.DuckDBPyConnection, source_datasets: Sequence[str], spec: TensorSpec
) -> pa.Table:
    """What has to be decoded, one row per image with the columns of `StaleImage`, in order of the ids.

    It stays a table until a batch is decoded: as Python objects it was measured to take two and a half
    times as much of the memory of whoever drives a load of millions.
    """
    parameters = {
        "columns": IMAGE_COLUMNS,
        "source_datasets": list(source_datasets),
        "transform": spec.transform,
        "transient": list(TRANSIENT),
    }
    return connection.execute(sql_text("stale_images"), parameters).to_arrow_table()
