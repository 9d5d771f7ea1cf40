"""Write the format `imagefolder` of Hugging Face: PNG files and a `metadata.parquet` for each split.

    train/metadata.parquet
    train/images/<source_dataset>/<category>/<good, or the defect type>/000.png
    train/masks/…       the same path, for images that have a ground-truth mask
    train/masks/empty.png
    test/…

`validation` and `unassigned` have folders of their own. `datasets` finds `validation` by its name, and
`unassigned` by the dataset card.

`datasets` turns `file_name` into the column `image` and `mask_file_name` into the column `mask`, and keeps
all others. It searches `file_name` first, so that column must be the first. Every row has a mask, because a
null was an error before `datasets` 5. A row without a ground-truth file has `empty.png`, all zeros.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from anomaly_assets.export.croissant import Files
from anomaly_assets.export.huggingface import PICTURE, class_names, loading_lines, schema_metadata
from anomaly_assets.export.names import in_folders, picture_paths
from anomaly_assets.export.pictures import Advance, write_pictures, write_png
from anomaly_assets.export.selection import Source, Written

EMPTY_MASK = "masks/empty.png"

FILES = Files("*/metadata.parquet", images=["*/images/*/*/*/*.png"], masks=["*/masks/*/*/*/*.png"])


def write(source: Source, folder: Path, advance: Advance) -> Written:
    """Write the samples as an image folder.

    Args:
        source: The samples.
        folder: An empty folder.
        advance: Called with the number of samples written since the last call.

    Returns:
        What was written: all samples.
    """
    paths = picture_paths(source.table, ("split", "source_dataset", "category", "kind"))
    splits = source.table["split"]
    inner = pc.replace_substring_regex(paths, "^[^/]*/", "")  # without the folder of the split
    images, masks = in_folders(inner, source.mask_from_file)
    write_pictures(
        source,
        folder,
        pc.binary_join_element_wise(splits, images, "/"),
        pc.binary_join_element_wise(splits, masks, "/"),
        advance,
    )
    rows = _rows(source, images, masks)
    for split in sorted(splits.unique().to_pylist()):
        empty_mask = folder / split / EMPTY_MASK
        empty_mask.parent.mkdir(parents=True, exist_ok=True)
        write_png(empty_mask, np.zeros(source.shape[:2], np.uint8))
        of_split = rows.filter(pc.equal(rows["split"], split))
        pq.write_table(of_split, folder / split / "metadata.parquet")
    return Written.all_of(source)


def card(source: Source) -> str:
    """Return the lines of the dataset card from which `datasets` loads the files."""
    nothing = pa.chunked_array([pa.nulls(len(source), pa.string())])
    schema = _rows(source, nothing, nothing).schema
    for place, name in enumerate(("image", "mask")):
        schema = schema.set(place, pa.field(name, PICTURE))
    return loading_lines(source, schema, {}, "{}/**")


def _rows(source: Source, images: pa.ChunkedArray, masks: pa.ChunkedArray) -> pa.Table:
    names = class_names(source)
    columns = {
        "file_name": images,
        "mask_file_name": pc.coalesce(masks, EMPTY_MASK),
        "has_mask": pa.array(source.has_mask),
        "mask_from_file": pa.array(source.mask_from_file),
        **{name: source.table[name] for name in source.table.column_names},
        "label": pc.index_in(source.table["label"], pa.array(names)).cast(pa.int64()),
    }
    classes = {"label": names, "label_index": names}
    metadata = {**source.metadata, **schema_metadata(classes)}
    return pa.table(columns).replace_schema_metadata(metadata)
