"""Evaluate what changed in a published database, category by category, and store the results.

Images are read from the published database, which nobody has to lock. The warehouse is locked only while
digests or a bank are read, and while the results of a category are written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import duckdb

from anomaly_assets.datasets.names import shown
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.evaluation.backbone import Backbone
from anomaly_assets.evaluation.bank import Bank
from anomaly_assets.evaluation.detector import CategoryResult, evaluate_category
from anomaly_assets.evaluation.inputs import (
    EvaluationError,
    Images,
    Key,
    Subject,
    chosen_assignment,
    has_rough_masks,
    images_of,
    subjects_of,
)
from anomaly_assets.evaluation.metrics import LEAST_IMAGES
from anomaly_assets.evaluation.pixels import picture_parts
from anomaly_assets.evaluation.protocol import VERSION, ImageRow, Roles, roles_of
from anomaly_assets.evaluation.results import bank_of, rows_of
from anomaly_assets.evaluation.stored import (
    remove_results,
    replace_gains,
    replace_results,
    stored_inputs,
)
from anomaly_assets.reader.batch import Batch
from anomaly_assets.reader.database import Database
from anomaly_assets.reader.open import category_samples, open_database
from anomaly_assets.tables.ddl import ensure_tables
from anomaly_assets.warehouse.base import Log, Warehouse, is_interrupt

_BATCH_PIXELS = 16 * 256 * 256
"""Pixels of the images whose features are computed at once: 16 images of 256 x 256."""

_INDEX_OF = {"good": 0, "anomalous": 1}

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Evaluated:
    """Report of an evaluation.

    Attributes:
        evaluated: Categories and recipes that were evaluated now.
        unchanged: Number of those whose results were up to date.
        removed: Number of those that no longer exist.
        without_number: Reason by category and recipe, of those evaluated now that have no number.
    """

    evaluated: Sequence[Key] = ()
    unchanged: int = 0
    removed: int = 0
    without_number: dict[Key, str] = field(default_factory=dict)


def evaluate(
    warehouse: Callable[[], Warehouse],
    location: str,
    backbone: Backbone,
    *,
    assignment: str | None = None,
    categories: Collection[str] = (),
    run_id: str | None = None,
    log: Log = print,
    progress: Callable[[Key], Progress] | None = None,
) -> Evaluated:
    """Evaluate the categories whose images, labels, recipes, network or rules changed since.

    Each result is committed when its category ends, so an interrupted evaluation goes on from there. An
    error of one category does not stop the others, unless the next one fails in the same way.

    Args:
        warehouse: Returns the warehouse, or raises if the run was asked to stop; called before each use.
        location: The published database.
        backbone: The network.
        assignment: Split assignment for images without a split; None for the only one.
        categories: Only these categories; empty for all.
        run_id: Recorded with the results.
        log: Called with a line per category.
        progress: Returns the function that is called with the number of images done, and of all.

    Raises:
        EvaluationError: A category or the assignment does not exist, nothing was published yet, another
            warehouse published it, or categories failed, after all others were evaluated.
        DatabaseError: The published database cannot be read.
        WarehouseBusyError: Another run held the warehouse for too long.
    """
    with closing(_opened(location)) as database:
        assignment = chosen_assignment(database, assignment)
        method = {"protocol": str(VERSION), "backbone": backbone.digest}
        existing = subjects_of(database, method, assignment)
        _refuse_unknown(categories, existing)
        subjects = [each for each in existing if not categories or each.key.category in categories]
        with _tables(warehouse()) as connection:
            _refuse_foreign(connection, database)
            stored = stored_inputs(connection)
            gone = stored.keys() - {subject.key for subject in existing}
            remove_results(connection, gone)
            replace_gains(connection, subjects)
        stale = [subject for subject in subjects if stored.get(subject.key) != subject.digest]
        evaluated: list[Key] = []
        reasons: dict[Key, str] = {}
        failed: dict[Key, Exception] = {}
        before: Exception | None = None
        for number, subject in enumerate(stale, 1):
            key, started = subject.key, time.monotonic()
            with _tables(warehouse()) as connection:
                if stored_inputs(connection).get(key) == subject.digest:
                    continue  # another evaluation has stored it meanwhile
                kept = _kept_bank(connection, key)
            try:
                roles, result = _result(database, key, backbone, assignment, kept, progress)
            except Exception as error:
                if is_interrupt(error):
                    raise KeyboardInterrupt from error
                is_general = isinstance(error, _MAYBE_GENERAL)
                if isinstance(error, MemoryError) or (is_general and type(error) is type(before)):
                    raise  # other categories would fail too
                failed[key] = before = error
                log(f"{number} of {len(stale)}: {key}, failed: {_cause(error)}")
                continue
            rows = rows_of(
                subject,
                roles,
                result,
                backbone=backbone.name,
                seconds=round(time.monotonic() - started, 3),
                run_id=run_id,
            )
            with _tables(warehouse()) as connection:
                replace_results(connection, key, rows, run_id)
            before = None
            evaluated.append(key)
            if result.no_number:
                reasons[key] = result.no_number
            log(f"{number} of {len(stale)}: {key}, {_said(result)}")
        if stale:
            with _tables(warehouse()) as connection:
                replace_gains(connection, subjects)
        if before and len(stale) == 1 and isinstance(before, _MAYBE_GENERAL):
            raise before
        if failed:
            raise _failure(failed, len(stale)) from next(iter(failed.values()))
    return Evaluated(evaluated, len(subjects) - len(evaluated), len(gone), reasons)


_MAYBE_GENERAL = (AnomalyAssetsError, duckdb.Error, OSError)
"""Errors of one category, such as a lost file of a lake, or of all: a store does not answer."""


def _failure(failed: Mapping[Key, Exception], of: int) -> EvaluationError:
    """Return an error that lists each cause with its categories."""
    keys: dict[str, list[str]] = {}
    for key, error in failed.items():
        keys.setdefault(_cause(error), []).append(str(key))
    causes = "; ".join(f"{', '.join(names)}: {cause}" for cause, names in keys.items())
    return EvaluationError(
        f"{len(failed)} of {of} evaluations failed; the other results are stored, and the next refresh "
        f"publishes them. Failed: {causes}"
    )


def _cause(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _opened(location: str) -> Database:
    try:
        return open_database(location)
    except FileNotFoundError as error:
        raise EvaluationError(
            f"{location} does not exist, and the evaluation reads the published database: "
            "run `anomaly-assets materialize` first, or set ANOMALY_DATABASE."
        ) from error


@contextmanager
def _tables(warehouse: Warehouse) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse for a moment, with the tables of the evaluation."""
    with warehouse.writing(), warehouse.connect() as connection:
        ensure_tables(connection)
        yield connection


def _refuse_foreign(connection: duckdb.DuckDBPyConnection, database: Database) -> None:
    """Raise `EvaluationError` if the warehouse did not publish this: it cannot publish results there."""
    query = "SELECT 1 FROM snapshots WHERE snapshot_id = ?"
    if not connection.execute(query, [database.snapshot_id]).fetchall():
        raise EvaluationError(
            f"{database.location} was not published by this warehouse, so results could not be published "
            "there. Set ANOMALY_WAREHOUSE to the warehouse that published it. To evaluate the data of this "
            "warehouse, name its own file in ANOMALY_DATABASE, and run `anomaly-assets materialize`."
        )


def _refuse_unknown(categories: Collection[str], subjects: Iterable[Subject]) -> None:
    existing = {subject.key.category for subject in subjects}
    if unknown := sorted({*categories} - existing):
        raise EvaluationError(
            f"There is no category {shown(unknown[0])!r}. Existing ones: "
            f"{', '.join(map(shown, sorted(existing))) or 'none'}."
        )


def _kept_bank(connection: duckdb.DuckDBPyConnection, key: Key) -> Bank | None:
    found = connection.execute(
        "SELECT seed, bank_sha256, patches, dimensions, folds, bank FROM baseline_banks "
        "WHERE source_dataset = ? AND category = ? AND recipe = ?",
        key,
    ).fetchone()
    return bank_of(found) if found else None


def _result(
    database: Database,
    key: Key,
    backbone: Backbone,
    assignment: str | None,
    kept: Bank | None,
    progress: Callable[[Key], Progress] | None,
) -> tuple[Roles, CategoryResult]:
    images = images_of(database, key, assignment)
    roles = roles_of(_image_rows(images), images.near_duplicates, _folds(images))
    if len(channels := sorted(set(images.table["channels"].to_pylist()))) > 1:
        reason = roles.no_number or (
            f"The tensors have {' or '.join(map(str, channels))} channels and cannot be evaluated "
            "together. Use a recipe whose name ends with x1 or x3."
        )
        return roles, CategoryResult((), None, None, (), roles.counts, reason, None, False)
    with category_samples(database, *key) as samples:
        height, width, _ = samples.shape
        size = max(1, _BATCH_PIXELS // (height * width))

        def some(image_ids: Sequence[str]) -> Iterable[Batch]:
            return samples.select_ids(image_ids).batches(size)

        transforms = sorted(set(images.table["transform"].to_pylist()))
        result = evaluate_category(
            some,
            roles,
            backbone,
            kept=kept,
            pixels=f"{key.recipe} {transforms}",
            weak_labels=has_rough_masks(database, key.source_dataset),
            parts=picture_parts(key.recipe, samples.table),
            progress=progress(key) if progress else None,
        )
    return roles, result


def _image_rows(images: Images) -> Iterator[ImageRow]:
    for row in images.table.to_pylist():
        yield ImageRow(
            row["image_id"],
            row["content_sha256"],
            row["split"],
            _INDEX_OF.get(row["label"], -1),
            row["defect_type"] or "",
        )


def _folds(images: Images) -> dict[str, str]:
    """Return the fold of each content of the assignment."""
    columns = (images.table[name].to_pylist() for name in ("content_sha256", "fold"))
    return {content: fold for content, fold in zip(*columns, strict=True) if fold is not None}


def _said(result: CategoryResult) -> str:
    """Return the result as the end of a sentence."""
    if result.no_number:
        return f"no number: {result.no_number}"
    found = {row.metric: row for row in result.metrics if not row.defect_type}
    auroc, aupro = found["image_auroc"], found.get("aupro")
    if auroc.value is None:
        return (
            f"no number: {auroc.images_good} good and {auroc.images_anomalous} anomalous test images, and "
            f"{LEAST_IMAGES} of each are needed"
        )
    said = f"image AUROC {auroc.value:.3f}"
    return said if aupro is None or aupro.value is None else f"{said}, AUPRO {aupro.value:.3f}"
