"""Hand samples to other tools: Parquet, anomalib, Hugging Face `imagefolder`.

    from anomaly_assets.export import to_parquet

    to_parquet("export/bolt", category="bolt", split="train")

or, on the command line, `python -m anomaly_assets.export --format parquet --out export/bolt`.

An export is there as a whole or not at all. docs/exporting.md says what each format holds.
"""

from __future__ import annotations

from pathlib import Path

from anomaly_assets.export import anomalib, imagefolder, parquet
from anomaly_assets.export.errors import ExportError
from anomaly_assets.export.run import Export, export
from anomaly_assets.export.selection import Selection, Values

FORMATS = {"parquet": parquet.write, "anomalib": anomalib.write, "imagefolder": imagefolder.write}

__all__ = ["FORMATS", "Export", "ExportError", "to_anomalib", "to_imagefolder", "to_parquet"]


def to_parquet(
    out: str | Path,
    database: str | Path | None = None,
    *,
    source_dataset: Values = None,
    category: Values = None,
    split: Values = None,
    label: Values = None,
    where: str | None = None,
    snapshot: str | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Export:
    """Export samples as Parquet files, partitioned by source dataset and category.

    Args:
        out: Folder to make; it must not exist, or be empty, or hold an export that `overwrite` replaces.
        database: The published database, as `open_samples` takes it.
        source_dataset: Only these.
        category: Only these.
        split: Only `train` or `test`.
        label: Only `good` or `anomalous`.
        where: A condition in SQL over the columns of `samples`.
        snapshot: Id of the snapshot to export instead of the newest.
        overwrite: Replace an export at `out`; its readers see the old one or the new one, whole.
        progress: Show a bar on standard error, where that is a terminal.

    Raises:
        ExportError: `out` cannot be written to; what was there is as it was.
        FileNotFoundError: There is no such database.
        LookupError: No sample matches; the message says what exists.
        ValueError: `where` is no condition, or the samples have different shapes.
    """
    selection = Selection(database, source_dataset, category, split, label, where, snapshot)
    return export("parquet", parquet.write, out, selection, overwrite=overwrite, progress=progress)


def to_anomalib(
    out: str | Path,
    database: str | Path | None = None,
    *,
    source_dataset: Values = None,
    category: Values = None,
    split: Values = None,
    label: Values = None,
    where: str | None = None,
    snapshot: str | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Export:
    """Export samples as PNG files with the table that anomalib's `Tabular` takes.

    Arguments and errors are those of `to_parquet`. `Export.left_out` counts what `Tabular` cannot list.
    """
    selection = Selection(database, source_dataset, category, split, label, where, snapshot)
    return export(
        "anomalib", anomalib.write, out, selection, overwrite=overwrite, progress=progress
    )


def to_imagefolder(
    out: str | Path,
    database: str | Path | None = None,
    *,
    source_dataset: Values = None,
    category: Values = None,
    split: Values = None,
    label: Values = None,
    where: str | None = None,
    snapshot: str | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Export:
    """Export samples as PNG files that `datasets.load_dataset("imagefolder", …)` loads, masks included.

    Arguments and errors are those of `to_parquet`.
    """
    selection = Selection(database, source_dataset, category, split, label, where, snapshot)
    return export(
        "imagefolder", imagefolder.write, out, selection, overwrite=overwrite, progress=progress
    )
