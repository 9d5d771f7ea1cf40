"""Write the pictures of an export for an annotation tool, with a table of what the tool gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from anomaly_assets.datasets.words import UNSPECIFIED
from anomaly_assets.decoding.transform import UInt8Array
from anomaly_assets.export.croissant import Files
from anomaly_assets.export.names import picture_paths
from anomaly_assets.export.originals import Originals
from anomaly_assets.export.pictures import Advance, write_png
from anomaly_assets.export.selection import Part, Source

TABLE = "samples.parquet"
"""Table with a row per picture, which the way back is compared with."""

FILES = Files(TABLE, images=["images/*/*/*/*/*.png"])

_AT_ONCE = 64

Shapes = Callable[[UInt8Array], str]
"""Function that returns the shapes of a mask as the tool gets them, in JSON; the mask may be all zeros."""

_DEFECT_TYPES = """
SELECT DISTINCT defect_type FROM samples
WHERE list_contains($names, source_dataset) AND defect_type IS NOT NULL
"""

_Load = Callable[[], tuple[UInt8Array, UInt8Array]]


def write(source: Source, folder: Path, shapes_of: Shapes, advance: Advance) -> pa.Table:
    """Write all pictures below `images`, and the table of the samples.

    Args:
        source: The samples.
        folder: An empty folder.
        shapes_of: Function that describes a mask.
        advance: Called with the number of samples written since the last call.

    Returns:
        The columns of `source.table`, and `picture`, its path; `picture_height` and `picture_width`; and
        `shapes`, the text of `shapes_of`.
    """
    paths = picture_paths(source.table, ("source_dataset", "category", "split", "kind"))
    paths = pc.binary_join_element_wise("images", paths, "/")
    for parent in pc.replace_substring_regex(paths, "/[^/]*$", "").unique().to_pylist():
        (folder / parent).mkdir(parents=True, exist_ok=True)
    written: list[dict[str, Any]] = []
    with ThreadPoolExecutor(thread_name_prefix="encode") as pool:
        for loads in _loads(source):
            names = paths.slice(len(written), len(loads)).to_pylist()
            one = partial(_written, folder, shapes_of)
            written += pool.map(one, names, loads)
            advance(len(loads))
    table = pa.table(
        {
            **{name: source.table[name] for name in source.table.column_names},
            "picture": paths,
            **{name: [row[name] for row in written] for name in written[0]},
        }
    ).replace_schema_metadata(source.metadata)
    pq.write_table(table, folder / TABLE)
    return table


def defect_types(source: Source) -> list[str]:
    """Return the defect types of the source datasets of the samples, `unspecified` first."""
    names = source.table["source_dataset"].unique().to_pylist()
    with source.selection.cursor() as cursor:
        found = cursor.execute(_DEFECT_TYPES, {"names": names}).fetchall()
    # A snapshot that was published meanwhile may lack the type of a sample.
    all_names = {name for (name,) in found} | {*source.table["defect_type"].unique().to_pylist()}
    return [UNSPECIFIED, *sorted(all_names - {"", UNSPECIFIED})]


def rows_of(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table; only some at a time are Python objects."""
    for batch in table.to_batches(max_chunksize=1000):
        yield from batch.to_pylist()


def _loads(source: Source) -> Iterator[list[_Load]]:
    """Yield functions that load a picture with its mask, some at a time."""
    if not source.selection.originals:
        for part in source.parts():
            yield [partial(_stored, part, place) for place in range(len(part))]
        return
    originals = Originals(source)
    for start in range(0, len(source), _AT_ONCE):
        places = range(start, min(start + _AT_ONCE, len(source)))
        yield [
            partial(_original, originals, place, bool(source.mask_from_file[place]))
            for place in places
        ]


def _stored(part: Part, place: int) -> tuple[UInt8Array, UInt8Array]:
    return part.images[place], part.masks[place]


def _original(originals: Originals, place: int, has_mask: bool) -> tuple[UInt8Array, UInt8Array]:
    pixels, mask = originals[place]
    return pixels, mask if has_mask else np.zeros_like(mask)


def _written(folder: Path, shapes_of: Shapes, path: str, load: _Load) -> dict[str, Any]:
    pixels, mask = load()
    write_png(folder / path, pixels)
    height, width = mask.shape
    return {"picture_height": height, "picture_width": width, "shapes": shapes_of(mask)}
