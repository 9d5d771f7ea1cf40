"""Write the format `anomalib`: PNG files, and the table that anomalib's `Tabular` data module reads.

    images/<source_dataset>/<category>/<split>/<good, or the defect type>/000.png
    masks/…       the same path, for images that have a ground-truth mask
    samples.parquet   a row per image, with anomalib's column names and values
    samples.csv       only its five columns, for a pandas without Parquet
    left_out.parquet  images that `Tabular` refuses or cannot read, and why

Columns and values are those of anomalib 2 (`anomalib/data/datasets/image/tabular.py`): `split` is `train`
or `test`, `label_index` 0 or 1, `label` the `DirType` of these two, and no value may be null. Images of
other splits are left out. The data module `Folder` of anomalib can read the folders too.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from anomaly_assets.export.croissant import Files
from anomaly_assets.export.names import in_folders, picture_paths
from anomaly_assets.export.pictures import Advance, write_pictures
from anomaly_assets.export.selection import Source, Written
from anomaly_assets.reader.assignments import FOLD

FILES = Files("samples.parquet", images=["images/*/*/*/*/*.png"], masks=["masks/*/*/*/*/*.png"])

COLUMNS = ("image_path", "label", "label_index", "mask_path", "split")
"""Columns that `Tabular` reads; paths are relative to the folder of the export."""


def write(source: Source, folder: Path, advance: Advance) -> Written:
    """Write the samples for anomalib.

    Args:
        source: The samples.
        folder: An empty folder.
        advance: Called with the number of samples written since the last call.

    Returns:
        What was written: all samples, those of `left_out.parquet` too, and why these are not listed.
    """
    paths = picture_paths(source.table, ("source_dataset", "category", "split", "kind"))
    images, masks = in_folders(paths, source.mask_from_file)
    write_pictures(source, folder, images, masks, advance)
    rows = rows_of(source, images, masks)
    listed, reasons = write_tables(folder, rows, reasons_of(rows))
    pyarrow.csv.write_csv(listed.select(list(COLUMNS)), folder / "samples.csv")
    return Written.all_of(source, reasons)


def write_tables(
    folder: Path, rows: pa.Table, reasons: npt.NDArray[np.str_]
) -> tuple[pa.Table, dict[str, int]]:
    """Write `samples.parquet`, and `left_out.parquet` if a row has a reason to be left out.

    Returns:
        The rows of `samples.parquet`, and the number of the others by reason, the most frequent first.
    """
    listed = rows.filter(pa.array(reasons == ""))
    pq.write_table(listed, folder / "samples.parquet")
    left_out = rows.append_column("reason", pa.array(reasons.tolist(), pa.string()))
    left_out = left_out.filter(pa.array(reasons != ""))
    if left_out.num_rows:
        pq.write_table(left_out, folder / "left_out.parquet")
    return listed, dict(Counter(left_out["reason"].to_pylist()).most_common())


def rows_of(source: Source, images: pa.ChunkedArray, masks: pa.ChunkedArray) -> pa.Table:
    """Return a row for every sample, with the columns of `samples.parquet`.

    Args:
        source: The samples.
        images: Path of each image.
        masks: Path of each mask; null for none.
    """
    table = source.table
    labels, defect_types = table["label_index"].cast(pa.int64()), table["defect_type"]
    in_training = pc.equal(table["split"], "train")
    normal = pc.if_else(in_training, "normal", "normal_test")
    named = pc.if_else(pc.equal(labels, 0), normal, "abnormal")
    further = {name: table[name] for name in ("tile", "box", FOLD) if name in table.column_names}
    rows = pa.table(
        {
            "image_path": images,
            "label": pc.if_else(pc.less(labels, 0), "unknown", named),
            "label_index": labels,
            "mask_path": pc.coalesce(masks, ""),
            "split": table["split"],
            "image_id": table["image_id"],
            "source_dataset": table["source_dataset"],
            "category": table["category"],
            "defect_type": pc.if_else(pc.equal(defect_types, ""), table["label"], defect_types),
            **further,
        }
    )
    return rows.replace_schema_metadata(source.metadata)


def reasons_of(rows: pa.Table, *, always_masks: bool = False) -> npt.NDArray[np.str_]:
    """Return the reason why each row is left out; an empty string for rows that are not.

    anomalib has no unknown labels, and no splits but train and test. It refuses a table with an anomalous
    training image, and opens the mask of every anomalous image once one image has a mask.

    Args:
        rows: The rows of `rows_of`.
        always_masks: Leave out anomalous images without a mask, even if no image has one.
    """
    anomalous = np.asarray(rows["label_index"]) == 1
    has_mask = np.asarray(rows["mask_path"]) != ""
    training = np.asarray(rows["split"]) == "train"
    unknown = np.asarray(rows["label_index"]) < 0
    other_split = ~np.isin(np.asarray(rows["split"]), ("train", "test"))
    refused = unknown | other_split | (anomalous & training)
    needs_mask = always_masks or bool((has_mask & ~refused).any())
    return np.select(
        [unknown, other_split, refused, anomalous & ~has_mask & needs_mask],
        [
            "unknown_label",
            "neither_train_nor_test",
            "anomalous_training_image",
            "anomalous_without_mask",
        ],
        default="",
    )
