"""Write the format `parquet`: the columns of `samples`, and pictures, in files named by split.

    data/train-00000-of-00001.parquet

`data` is the folder that Polars and PyArrow read as one table, so it contains no other files. They are
named as on the Hugging Face Hub, because `datasets` finds the splits by these names.

Tensors are binary columns, which every reader of Parquet accepts; their shape is in the metadata of the
field. Arrow's fixed-shape tensor was measured against it and is not used, see docs/exporting.md. `image`
and `mask` hold the same pixels as files, as `datasets` reads pictures. Their format is PPM, without
compression, because Parquet compresses them: with PNG, an export took two to three times as long.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from anomaly_assets.export.croissant import Files
from anomaly_assets.export.huggingface import PICTURE, class_names, loading_lines, schema_metadata
from anomaly_assets.export.pictures import Advance, encoded
from anomaly_assets.export.selection import Part, Source, Written

ROW_GROUP_BYTES = 32 * 1024 * 1024
"""Size of the tensors in one row group: the least that a reader holds, and one thread reads."""

ROW_GROUPS_PER_FILE = 32

TABLE = "data"
"""Folder that contains only Parquet files."""

FILES = Files(f"{TABLE}/*.parquet")

_COMPRESSION, _LEVEL = "zstd", 3
_PIXELS = ("image_tensor", "mask_tensor", "image", "mask")


def write(source: Source, folder: Path, advance: Advance) -> Written:
    """Write the samples as Parquet files.

    In memory are one row group of each split and the parts that are read ahead.

    Args:
        source: The samples.
        folder: An empty folder.
        advance: Called with the number of samples written since the last call.

    Returns:
        What was written: all samples.
    """
    schema = _schema(source)
    (folder / TABLE).mkdir()
    splits = Counter(source.table["split"].to_pylist())
    with ExitStack() as stack:
        files = {
            split: stack.enter_context(_Files(folder / TABLE, split, rows, schema, source.shape))
            for split, rows in splits.items()
        }
        for part in source.parts():
            of_part = np.asarray(source.table["split"].slice(part.start, len(part)))
            for split in splits:
                places = np.flatnonzero(of_part == split)
                if len(places):
                    files[split].add(_rows(source, part, places, schema))
            advance(len(part))
    return Written.all_of(source)


def card(source: Source) -> str:
    """Return the lines of the dataset card from which `datasets` loads the files."""
    return loading_lines(source, _schema(source), {"label": class_names(source)}, TABLE + "/{}-*")


class _Files:
    """Files of one split; each row group but the last has the same number of rows."""

    def __init__(
        self, folder: Path, split: str, rows: int, schema: pa.Schema, shape: tuple[int, int, int]
    ) -> None:
        height, width, channels = shape
        self._group_rows = max(1, ROW_GROUP_BYTES // (height * width * (channels + 1)))
        number = -(-rows // (self._group_rows * ROW_GROUPS_PER_FILE))
        self._paths = (folder / f"{split}-{n:05}-of-{number:05}.parquet" for n in range(number))
        self._schema = schema
        self._waiting = schema.empty_table()
        self._groups = 0
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        if error is None and self._waiting.num_rows:
            self._write_group()
        self._close()

    def add(self, rows: pa.Table) -> None:
        """Add rows; they are written once they fill a row group."""
        if self._writer is None:
            self._begin()
        self._waiting = pa.concat_tables([self._waiting, rows])
        while self._waiting.num_rows >= self._group_rows:
            self._write_group()

    def _write_group(self) -> None:
        if self._writer is None or self._groups == ROW_GROUPS_PER_FILE:
            self._begin()
        assert self._writer is not None
        rows = self._waiting.slice(0, self._group_rows)
        self._writer.write_table(rows, row_group_size=rows.num_rows)
        self._waiting = self._waiting.slice(rows.num_rows)
        self._groups += 1

    def _begin(self) -> None:
        self._close()
        described = [name for name in self._schema.names if name not in _PIXELS]
        self._writer = pq.ParquetWriter(
            next(self._paths),
            self._schema,
            compression=_COMPRESSION,
            compression_level=_LEVEL,
            use_dictionary=described,
            write_statistics=described,
        )
        self._groups = 0

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _rows(source: Source, part: Part, places: npt.NDArray[np.intp], schema: pa.Schema) -> pa.Table:
    """Return the rows of the samples at these places of a part."""
    rows = pa.array(places + part.start)
    images, masks = part.images[places], part.masks[places]
    names = [f"{Path(name).stem}.ppm" for name in source.table["filename"].take(rows).to_pylist()]
    made = {
        "image_tensor": [image.tobytes() for image in images],
        "mask_tensor": [mask.tobytes() for mask in masks],
        "image": _pictures(images, names),
        "mask": _pictures(masks * np.uint8(255), names),
        "has_mask": source.has_mask[rows],
        "mask_from_file": source.mask_from_file[rows],
    }
    columns = [
        pa.chunked_array([pa.array(made[field.name], field.type)])
        if field.name in made
        else source.table[field.name].take(rows)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _pictures(pictures: npt.NDArray[np.uint8], names: list[str]) -> list[dict[str, object]]:
    return [
        {"bytes": encoded(pixels, "PPM"), "path": name}
        for pixels, name in zip(pictures, names, strict=True)
    ]


def _schema(source: Source) -> pa.Schema:
    """Return the schema: tensors at their place in the view `samples`, added columns at the end."""
    height, width, channels = source.shape
    tensors = [
        _tensor("image_tensor", {"height": height, "width": width, "channels": channels}),
        _tensor("mask_tensor", {"height": height, "width": width}),
    ]
    fields = list(source.table.schema)
    place = source.table.column_names.index("channels") + 1
    added = [pa.field(name, pa.bool_()) for name in ("has_mask", "mask_from_file")]
    pictures = [pa.field(name, PICTURE) for name in ("image", "mask")]
    features = schema_metadata({"label_index": class_names(source)}, ("image", "mask"))
    return pa.schema(
        [*fields[:place], *tensors, *fields[place:], *added, *pictures],
        metadata={**source.metadata, **features},
    )


def _tensor(name: str, sides: dict[str, int]) -> pa.Field:
    described = {
        "dtype": "uint8",
        "shape": json.dumps([*sides.values()]),
        "dim_names": json.dumps([*sides]),
    }
    return pa.field(name, pa.binary(), nullable=False, metadata=described)
