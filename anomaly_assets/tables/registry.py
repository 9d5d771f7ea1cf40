"""What every table holds, column by column: the one source of comments and documented schemas.

The SQL files say how rows come about; this module says what they mean. `COMMENT ON`, the column
schemas in the Dagster UI and `docs/tables.md` are made from it, and a test compares it with the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from anomaly_assets.datasets import SOURCE_DATASETS

Columns = Mapping[str, tuple[str, str]]
"""Column name to its DuckDB type and its meaning."""


@dataclass(frozen=True)
class Table:
    """A table or view.

    Attributes:
        description: What a row is.
        columns: Its columns, in order.
        is_view: Whether it is a view.
    """

    description: str
    columns: Columns
    is_view: bool = False


_SOURCE_DATASET = ("VARCHAR", " or ".join(SOURCE_DATASETS))
_CATEGORY = ("VARCHAR", "category or class, as its folder is called")

_IMAGES: Columns = {
    "image_id": ("VARCHAR", "key: <source_dataset>/<relative_path>"),
    "source_dataset": _SOURCE_DATASET,
    "category": _CATEGORY,
    "split": ("VARCHAR", "train or test, as the source ships it"),
    "label": ("VARCHAR", "good or anomalous"),
    "label_index": ("BIGINT", "0 for good, 1 for anomalous"),
    "defect_type": (
        "VARCHAR",
        "kind of defect as the folder is called; null for good; unspecified where no folder says it",
    ),
    "filename": ("VARCHAR", "name of the file, which is not unique"),
    "relative_path": ("VARCHAR", "path below the root, without folders around the dataset"),
    "source_uri": ("VARCHAR", "address of the file, without credentials"),
    "file_size_bytes": ("BIGINT", "size of the file in bytes"),
    "modified_at": ("TIMESTAMP WITH TIME ZONE", "when the store says the file was modified"),
    "file_version": ("VARCHAR", "etag or crc where the store has one, else size and mtime"),
    "mask_relative_path": (
        "VARCHAR",
        "path of the ground-truth mask, paired by name; null without",
    ),
    "mask_source_uri": ("VARCHAR", "address of the mask file; null without mask"),
    "mask_file_version": ("VARCHAR", "file version of the mask; null without mask"),
    "declared_label_index": ("BIGINT", "what DAGM's Labels.txt says; null where it says nothing"),
    "_dlt_load_id": ("VARCHAR", "load that inserted or last changed the row; joins load_history"),
}

CATALOGUE_TABLES: Mapping[str, Table] = {
    "images": Table("One row per image file below the root.", _IMAGES),
    "stray_files": Table(
        "One row per file below the root that belongs to no image, with the reason.",
        {
            "relative_path": ("VARCHAR", "path below the root"),
            "reason": ("VARCHAR", "why it belongs to no image, such as orphan_mask"),
            "detail": ("VARCHAR", "what else is known; may be null"),
            "_dlt_load_id": ("VARCHAR", "load that inserted or last changed the row"),
        },
    ),
    "load_changes": Table(
        "One row per load and table: how many rows it changed. Read load_history instead.",
        {
            "table_name": ("VARCHAR", "images or stray_files"),
            "rows_inserted": ("BIGINT", "rows that were new"),
            "rows_updated": ("BIGINT", "rows with other content than before"),
            "rows_deleted": ("BIGINT", "rows whose file is gone"),
            "root_uri": ("VARCHAR", "root that was listed, without credentials"),
            "_dlt_load_id": ("VARCHAR", "the load"),
        },
    ),
}
"""The dlt tables, in the schema of each source dataset."""

TABLES: Mapping[str, Table] = {
    "images": Table("One row per image of all source datasets.", _IMAGES, is_view=True),
    "image_tensors": Table(
        "One row per image whose bytes were decoded: the tensor, and what was measured with it.",
        {
            "image_id": ("VARCHAR", "joins images"),
            "file_version": ("VARCHAR", "version of the file that was decoded"),
            "mask_file_version": ("VARCHAR", "version of the mask that was decoded"),
            "transform": ("VARCHAR", "recipe of the tensor, such as lanczos-256x256x3"),
            "content_sha256": ("VARCHAR", "SHA-256 of the file's bytes, hexadecimal"),
            "original_width": ("INTEGER", "width of the file, pixels"),
            "original_height": ("INTEGER", "height of the file, pixels"),
            "original_mode": ("VARCHAR", "Pillow mode of the file: 1, L, LA, P, RGB, RGBA, I;16"),
            "height": ("INTEGER", "height of the tensor, pixels"),
            "width": ("INTEGER", "width of the tensor, pixels"),
            "channels": ("INTEGER", "channels of the tensor, 1 or 3"),
            "image_tensor": ("BLOB", "uint8, row-major height x width x channels"),
            "mask_tensor": ("BLOB", "uint8 0/1, row-major height x width; null without mask"),
            "mask_area_fraction": ("DOUBLE", "defective share of the mask before resizing, 0 to 1"),
            "mask_width": ("INTEGER", "width of the mask file, pixels"),
            "mask_height": ("INTEGER", "height of the mask file, pixels"),
            "mask_values": ("INTEGER", "distinct grey values in the mask file"),
            "mask_box": ("INTEGER[]", "left, top, right, bottom of the defect in the mask file"),
            "channel_sums": ("BIGINT[]", "sum of the tensor's values per channel, 0..255 scale"),
            "channel_square_sums": ("BIGINT[]", "sum of their squares per channel"),
            "loaded_at": ("TIMESTAMP WITH TIME ZONE", "when the tensor was written"),
            "run_id": ("VARCHAR", "run that wrote it"),
        },
    ),
    "rejected_images": Table(
        "One row per file (image or mask) whose bytes could not be used. It leaves when mended.",
        {
            "image_id": ("VARCHAR", "joins images"),
            "relative_path": ("VARCHAR", "the file: the image itself, or its mask"),
            "file_version": ("VARCHAR", "version of the file that was tried"),
            "transform": ("VARCHAR", "recipe that was tried"),
            "reason": ("VARCHAR", "keyword, such as damaged_image or unreadable"),
            "detail": ("VARCHAR", "what exactly was wrong"),
            "rejected_at": ("TIMESTAMP WITH TIME ZONE", "when it was tried"),
        },
    ),
    "samples": Table(
        "One row per usable image, with labels, tensor and mask: the table to train from.",
        {
            "image_id": ("VARCHAR", "key: <source_dataset>/<relative_path>"),
            "filename": ("VARCHAR", "name of the file, which is not unique"),
            "label": ("VARCHAR", "good or anomalous"),
            "label_index": ("BIGINT", "0 for good, 1 for anomalous"),
            "source_dataset": _SOURCE_DATASET,
            "category": _CATEGORY,
            "split": ("VARCHAR", "train or test"),
            "defect_type": ("VARCHAR", "kind of defect; null for good"),
            "height": ("INTEGER", "height of the tensor, pixels"),
            "width": ("INTEGER", "width of the tensor, pixels"),
            "channels": ("INTEGER", "channels of the tensor, 1 or 3"),
            "image_tensor": ("BLOB", "uint8, row-major height x width x channels"),
            "mask_tensor": ("BLOB", "uint8 0/1, row-major height x width; null without mask"),
            "original_width": ("INTEGER", "width of the file, pixels"),
            "original_height": ("INTEGER", "height of the file, pixels"),
            "original_mode": ("VARCHAR", "Pillow mode of the file"),
            "content_sha256": ("VARCHAR", "SHA-256 of the file's bytes, hexadecimal"),
            "mask_area_fraction": ("DOUBLE", "defective share of the mask before resizing, 0 to 1"),
            "source_uri": ("VARCHAR", "address of the file"),
            "loaded_at": ("TIMESTAMP WITH TIME ZONE", "when the tensor was written"),
        },
        is_view=True,
    ),
    "dataset_summary": Table(
        "Images, bytes, masks, sizes and modes per dataset, category, split, label and defect type.",
        {
            "source_dataset": _SOURCE_DATASET,
            "category": _CATEGORY,
            "split": ("VARCHAR", "train or test"),
            "label": ("VARCHAR", "good or anomalous"),
            "defect_type": ("VARCHAR", "kind of defect; null for good"),
            "images": ("BIGINT", "catalogued images"),
            "tensors": ("BIGINT", "images with a tensor"),
            "rejected": ("BIGINT", "images that could not be used"),
            "masks": ("BIGINT", "images with a mask file"),
            "file_bytes": ("HUGEINT", "size of the image files, bytes"),
            "original_sizes": ("VARCHAR[]", "distinct widthxheight of the files"),
            "original_modes": ("VARCHAR[]", "distinct Pillow modes of the files"),
        },
    ),
    "pixel_statistics": Table(
        "Mean and standard deviation per channel of the good training tensors, in 0..1.",
        {
            "source_dataset": _SOURCE_DATASET,
            "category": _CATEGORY,
            "images": ("BIGINT", "good training tensors measured"),
            "channel_means": ("DOUBLE[]", "mean per channel, 0 to 1"),
            "channel_standard_deviations": (
                "DOUBLE[]",
                "population standard deviation per channel",
            ),
        },
    ),
    "defect_summary": Table(
        "Number and size of the defects per dataset, category, split and defect type.",
        {
            "source_dataset": _SOURCE_DATASET,
            "category": _CATEGORY,
            "split": ("VARCHAR", "train or test"),
            "defect_type": ("VARCHAR", "kind of defect"),
            "images": ("BIGINT", "anomalous images"),
            "masks": ("BIGINT", "of these, images with a readable mask"),
            "empty_masks": ("BIGINT", "masks without any defective pixel"),
            "area_fraction_min": ("DOUBLE", "smallest defective share, 0 to 1"),
            "area_fraction_median": ("DOUBLE", "median defective share"),
            "area_fraction_p90": ("DOUBLE", "90 % quantile of the defective share"),
            "area_fraction_max": ("DOUBLE", "largest defective share"),
            "box_width_median": ("DOUBLE", "median width of the defect's box, share of the image"),
            "box_height_median": (
                "DOUBLE",
                "median height of the defect's box, share of the image",
            ),
        },
    ),
    "duplicate_images": Table(
        "One row per content that lies in more than one place.",
        {
            "content_sha256": ("VARCHAR", "SHA-256 of the shared bytes"),
            "copies": ("BIGINT", "number of files with these bytes"),
            "image_ids": ("VARCHAR[]", "the images, sorted"),
            "crosses_splits": ("BOOLEAN", "in train and in test: a leak"),
            "crosses_categories": ("BOOLEAN", "in two categories"),
            "crosses_labels": ("BOOLEAN", "good in one place, anomalous in another"),
        },
    ),
    "load_history": Table(
        "One row per load of a source dataset that changed something.",
        {
            "source_dataset": _SOURCE_DATASET,
            "load_id": ("VARCHAR", "joins _dlt_load_id"),
            "loaded_at": ("TIMESTAMP WITH TIME ZONE", "when the load began"),
            "rows_inserted": (
                "HUGEINT",
                "image rows that were new; all that it changed, where a kill came before they were counted",
            ),
            "rows_updated": ("HUGEINT", "image rows with other content than before"),
            "rows_deleted": ("HUGEINT", "image rows whose file is gone"),
            "stray_changes": ("HUGEINT", "stray rows inserted, updated or deleted"),
            "status": ("VARCHAR", "completed, or interrupted where dlt never finished it"),
            "root_uri": (
                "VARCHAR",
                "root that was listed, without credentials; null where a kill came before it was noted",
            ),
        },
        is_view=True,
    ),
    "snapshots": Table(
        "One row per publication: what the published database held at that time.",
        {
            "snapshot_id": (
                "VARCHAR",
                "digest of everything but the pixels, which it names by hash",
            ),
            "published_at": ("TIMESTAMP WITH TIME ZONE", "when it was published"),
            "images": ("BIGINT", "catalogued images"),
            "tensors": ("BIGINT", "tensors"),
            "rejected": ("BIGINT", "rejected files"),
            "transform": ("VARCHAR", "recipe of the tensors"),
            "run_id": ("VARCHAR", "run that published it"),
            "code_version": (
                "VARCHAR",
                "version of this package, and a digest of its source files",
            ),
            "roots": ("MAP(VARCHAR, VARCHAR)", "source dataset to the root of its newest load"),
            "load_ids": ("MAP(VARCHAR, VARCHAR)", "source dataset to its newest load"),
            "row_counts": ("MAP(VARCHAR, BIGINT)", "table to its number of rows"),
            "warehouse_id": (
                "VARCHAR",
                "identity of the warehouse that published it; null for releases before 0.2",
            ),
        },
    ),
    "source_datasets": Table(
        "One row per source dataset that is loaded. Views and publishing range over this table.",
        {
            "source_dataset": ("VARCHAR", "key: schema of its tables, and prefix of its image ids"),
            "title": ("VARCHAR", "name for people"),
            "licence": ("VARCHAR", "terms of use of the images"),
            "definition_digest": (
                "VARCHAR",
                "SHA-256 of what defines the dataset; null where it was loaded by a release before 0.2",
            ),
            "root_uri": ("VARCHAR", "root that was listed last, without credentials"),
            "from_samples": (
                "BOOLEAN",
                "true if no root was named and the samples of the repository were loaded",
            ),
            "most_images": (
                "BIGINT",
                "largest number of images accepted since the last consent to fewer",
            ),
            "most_samples": (
                "BIGINT",
                "largest number of samples published since the last consent to fewer",
            ),
        },
    ),
    "consents": Table(
        "One row per consent to fewer images or samples of a source dataset.",
        {
            "source_dataset": ("VARCHAR", "the source dataset, which may be gone"),
            "consented_at": ("TIMESTAMP WITH TIME ZONE", "when it was given"),
            "kind": ("VARCHAR", "shrunk_root, fewer_samples or forgotten"),
            "images": ("BIGINT", "number of images, or of samples, that was accepted"),
            "run_id": ("VARCHAR", "run that it was given to; null for a command"),
        },
    ),
}
"""The harmonised tables and views, in the schema `main` and, as views, in the schema `anomaly`."""
