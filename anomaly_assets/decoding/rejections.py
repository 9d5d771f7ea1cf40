"""Insert rows of rejected images, and decide whether rejections may replace tensors.

If a file was decoded before and now cannot be, its root is often the cause: a checkout without Git LFS,
an interrupted copy, a full disk. So tensors are replaced by rejections only after all files were tried,
and only if a source dataset keeps at least 80 % of the accepted samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone

import duckdb
import pyarrow as pa

from anomaly_assets.decoding.batch import Rejection
from anomaly_assets.errors import AnomalyAssetsError, rerun_with
from anomaly_assets.tables.arrow import arrow_schema
from anomaly_assets.tables.registry import DECODED_TABLES, TABLES
from anomaly_assets.tables.source_datasets import Loss, is_loss, sample_counts, stored_datasets
from anomaly_assets.tables.transaction import transaction

REJECTIONS_SCHEMA = arrow_schema(TABLES["rejected_images"])
"""Columns of `rejected_images`."""

_MOST_SHOWN = 3
"""Maximum number of files that a message about lost samples names."""


class SamplesLostError(AnomalyAssetsError, RuntimeError):
    """Too many files can no longer be decoded; their old tensors were kept."""


def insert_rejections(
    connection: duckdb.DuckDBPyConnection, rejections: Sequence[Rejection]
) -> None:
    """Insert rows into `rejected_images`, in the transaction of the caller."""
    rejected_at = datetime.now(timezone.utc)
    rows = [{**each.columns(), "rejected_at": rejected_at} for each in rejections]
    connection.register("rejected", pa.Table.from_pylist(rows, REJECTIONS_SCHEMA))
    try:
        connection.execute("INSERT INTO rejected_images BY NAME FROM rejected")
    finally:
        connection.unregister("rejected")


def replace_by_rejections(
    connection: duckdb.DuckDBPyConnection, rejections: list[Rejection], allow_shrink: bool
) -> int:
    """Replace tensors by rejections, unless too many samples of a source dataset would be lost.

    Args:
        connection: The warehouse.
        rejections: Images that have a tensor of an earlier version and can no longer be decoded.
        allow_shrink: Accept that a source dataset keeps fewer than 80 % of its samples.

    Returns:
        The number of removed tensors.

    Raises:
        SamplesLostError: A source dataset would lose too many; rejections of the others are applied.
    """
    counts, stored = sample_counts(connection), stored_datasets(connection)
    lost = Counter(name for name, _ in {_dataset_and_id(each) for each in rejections})
    losses = []
    for name, count in sorted(lost.items()):
        have = counts.get(name, 0)
        held = stored.get(name)
        mark = max(have, held.most_samples if held else 0)
        if is_loss(mark, have - count) and not (allow_shrink or (held and held.from_samples)):
            losses.append(Loss(name, mark, have - count))
    refused = {loss.source_dataset for loss in losses}
    accepted = [each for each in rejections if _dataset_and_id(each)[0] not in refused]
    image_ids = sorted({each.image_id for each in accepted})
    if image_ids:
        connection.register("unusable", pa.table({"image_id": image_ids}))
        try:
            with transaction(connection):
                for table in DECODED_TABLES:
                    connection.execute(
                        f"DELETE FROM {table} WHERE image_id IN (FROM unusable)"  # noqa: S608
                    )
                insert_rejections(connection, accepted)
        finally:
            connection.unregister("unusable")
    if losses:
        raise SamplesLostError(_explained(losses, rejections))
    return len(image_ids)


def _explained(losses: Sequence[Loss], rejections: Sequence[Rejection]) -> str:
    names = {loss.source_dataset for loss in losses}
    affected = [each for each in rejections if _dataset_and_id(each)[0] in names]
    reasons = Counter(each.reason for each in affected).most_common(3)
    counted = ", ".join(f"{count} {reason}" for reason, count in reasons)
    shown = "; ".join(f"{each.image_id}: {each.detail}" for each in affected[:_MOST_SHOWN])
    roots = " and ".join(f"{name.upper()}_ROOT" for name in sorted(names))
    return (
        f"Samples would be lost: {'; '.join(map(str, losses))}, because files can no longer be decoded "
        f"({counted}; first: {shown}). Their tensors and the published database stay unchanged. Repair "
        f"the files (root: {roots}), then run again: unchanged files are not decoded again. "
        "If you removed them on purpose, "
        f"{rerun_with('published_database', 'allow_shrink')}"
    )


def _dataset_and_id(rejection: Rejection) -> tuple[str, str]:
    return rejection.image_id.partition("/")[0], rejection.image_id
