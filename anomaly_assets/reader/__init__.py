"""Read samples in training code.

    from anomaly_assets.reader import open_samples

    samples = open_samples(category="woven", split="train")
    for batch in samples.batches(64, shuffle=0):
        batch.images, batch.masks, batch.label_indices

It imports DuckDB, Arrow and NumPy, but neither Dagster nor dlt. PyTorch and pandas are imported only by
the methods that need them.
"""

from anomaly_assets.reader.arrays import FetchedArray
from anomaly_assets.reader.batch import Batch, Sample
from anomaly_assets.reader.cache import CachedSelection, CacheError, cached_selections
from anomaly_assets.reader.database import DatabaseError
from anomaly_assets.reader.open import UnknownLabelWarning, open_cache, open_samples
from anomaly_assets.reader.samples import Samples
from anomaly_assets.reader.terms import CommercialUseError
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
    "CommercialUseError",
    "DatabaseError",
    "FetchedArray",
    "Sample",
    "Samples",
    "Snapshot",
    "SnapshotDifference",
    "UnknownLabelWarning",
    "cached_selections",
    "diff_snapshots",
    "list_snapshots",
    "open_cache",
    "open_samples",
]
