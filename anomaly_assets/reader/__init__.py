"""Read samples: what a trainer imports.

    from anomaly_assets.reader import open_samples

    samples = open_samples(category="woven", split="train")
    for batch in samples.batches(64, shuffle=0):
        batch.images, batch.masks, batch.label_indices

Light on purpose: DuckDB, Arrow and NumPy; neither Dagster nor dlt, and PyTorch and pandas only where they
are asked for.
"""

from anomaly_assets.reader.arrays import FetchedArray
from anomaly_assets.reader.batch import Batch, Sample
from anomaly_assets.reader.cache import CachedSelection, CacheError, cached_selections
from anomaly_assets.reader.database import DatabaseError
from anomaly_assets.reader.open import open_cache, open_samples
from anomaly_assets.reader.samples import Samples
from anomaly_assets.warehouse.file.snapshots import (
    Snapshot,
    SnapshotDifference,
    diff_snapshots,
    list_snapshots,
)

__all__ = [
    "Batch",
    "CacheError",
    "CachedSelection",
    "DatabaseError",
    "FetchedArray",
    "Sample",
    "Samples",
    "Snapshot",
    "SnapshotDifference",
    "cached_selections",
    "diff_snapshots",
    "list_snapshots",
    "open_cache",
    "open_samples",
]
