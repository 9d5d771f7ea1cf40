"""Write the format `mvtec`: PNG files in the official layout of MVTec AD.

    <category>/train/good/000.png
    <category>/test/good/000.png
    <category>/test/<defect type>/000.png
    <category>/ground_truth/<defect type>/000_mask.png
    samples.parquet   a row per image, with the columns of the format `anomalib`
    left_out.parquet  images that have no place in this layout, and why; their files are not written

In this layout the folders are the labels: everything in `train` is good, and every anomalous test image has
a mask. Loaders such as anomalib's `MVTecAD` pair images and masks by their order.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from anomaly_assets.export.anomalib import reasons_of, rows_of, write_tables
from anomaly_assets.export.croissant import Files
from anomaly_assets.export.names import digest, picture_paths, safe_folder
from anomaly_assets.export.pictures import Advance, write_pictures
from anomaly_assets.export.selection import Source, Written

FILES = Files(
    "samples.parquet",
    images=["*/train/*/*.png", "*/test/*/*.png"],
    masks=["*/ground_truth/*/*.png"],
)

_FILES = ("readme.md", "license", "croissant.json", "samples.parquet", "left_out.parquet")
"""Names beside the folders of the categories."""


def write(source: Source, folder: Path, advance: Advance) -> Written:
    """Write the samples in the layout of MVTec AD.

    Args:
        source: The samples.
        folder: An empty folder.
        advance: Called with the number of samples written since the last call.

    Returns:
        What was written; samples of `left_out.parquet` are not.
    """
    anomalous = pc.equal(source.table["label"], "anomalous")
    images = image_paths(source.table)
    masks = pc.replace_substring_regex(
        images, r"^([^/]*)/test/(.*)\.png$", r"\1/ground_truth/\2_mask.png"
    )
    masks = pc.if_else(pc.and_(anomalous, pa.array(source.mask_from_file)), masks, None)
    rows = rows_of(source, images, masks)
    reasons = reasons_of(rows, always_masks=True)
    has_place = pa.array(reasons == "")
    images, masks = (pc.if_else(has_place, paths, None) for paths in (images, masks))
    write_pictures(source, folder, images, masks, advance)
    rows = rows_of(source, pc.coalesce(images, ""), masks)
    _, left_out = write_tables(folder, rows, reasons)
    return Written(reasons == "", len(masks) - masks.null_count, left_out)


def image_paths(table: pa.Table) -> pa.ChunkedArray:
    """Return a path for every image; it is unique even if case is ignored.

    Args:
        table: The columns of `plain_columns`.
    """
    good, defect_type = pc.equal(table["label"], "good"), table["defect_type"]
    # The name of the folder is the label, so only good images are in `good`.
    defect_type = pc.if_else(
        pc.equal(pc.ascii_lower(defect_type), "good"), table["label"], defect_type
    )
    kinds = pc.if_else(good, "good", defect_type)
    table = table.set_column(table.column_names.index("defect_type"), "defect_type", kinds)
    paths = picture_paths(table, ("source_dataset", "category", "split", "kind"))
    categories = table.select(["source_dataset", "category"])
    folders = _folders(
        tuple(row.values())
        for row in categories.group_by(["source_dataset", "category"]).aggregate([]).to_pylist()
    )
    names = [folders[tuple(row.values())] for row in categories.to_pylist()]
    inner = pc.replace_substring_regex(paths, "^[^/]*/[^/]*/", "")
    placed = pc.binary_join_element_wise(pa.chunked_array([names]), inner, "/")
    numbered = _numbered(placed.filter(pc.invert(good)).to_pylist())
    if not numbered:
        return placed
    return pa.chunked_array([[numbered.get(path, path) for path in placed.to_pylist()]])


def _folders(categories: Iterable[tuple[str, ...]]) -> Mapping[tuple[str, ...], str]:
    """Return the folder of each source dataset and category; equal names are marked with a digest."""
    names = {key: safe_folder(key[-1]) for key in categories}
    uses = Counter([*(name.casefold() for name in names.values()), *_FILES])
    return {
        key: name if uses[name.casefold()] == 1 else f"{name}~{digest('/'.join(key))}"
        for key, name in names.items()
    }


def _numbered(paths: Iterable[str]) -> dict[str, str]:
    """Return new paths for the images of folders in which masks would be sorted otherwise than images.

    `a.png` is before `a1.png`, and `a1_mask.png` before `a_mask.png`: anomalib would give each image the
    mask of the other. Numbers of equal length in front of the names give both the same order.
    """
    by_folder = defaultdict(list)
    for path in paths:
        folder, _, name = path.removesuffix(".png").rpartition("/")
        by_folder[folder].append(name)
    new: dict[str, str] = {}
    for folder, names in by_folder.items():
        ordered = sorted(names, key=lambda name: f"{name}.png")
        if ordered != sorted(names, key=lambda name: f"{name}_mask.png"):
            digits = max(3, len(str(len(names))))
            new |= {
                f"{folder}/{name}.png": f"{folder}/{number:0{digits}}_{name}.png"
                for number, name in enumerate(ordered)
            }
    return new
