"""Write the format `parquet`: a folder per source dataset and category, the columns of `samples`.

    data/source_dataset=mvtec_ad/category=bolt/part-0000.parquet

`data` is the folder that Polars and PyArrow read as one table, so it contains no other files. The two
partition columns are only in the path, because PyArrow refuses a column that is in both. Tensors are binary
columns, which every reader of Parquet accepts; their shape is in the metadata of the field. Arrow's
fixed-shape tensor was measured against it and is not used, see docs/exporting.md.
"""

from __future__ import annotations

import json
import string
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from anomaly_assets.export.names import digest
from anomaly_assets.export.pictures import Advance
from anomaly_assets.export.selection import Part, Source

ROW_GROUP_BYTES = 32 * 1024 * 1024
"""Size of the tensors in one row group: the least that a reader holds, and one thread reads."""

TABLE = "data"
"""Folder that contains only Parquet files."""

PARTITIONED_BY = ("source_dataset", "category")

_COMPRESSION, _LEVEL = "zstd", 3
_LONGEST_VALUE = 200
"""Limit for a partition's value in its folder name, in bytes; with the column, names end at 255."""


def write(source: Source, folder: Path, advance: Advance) -> int:
    """Write the samples as Parquet files.

    In memory are one row group and the parts that are read ahead.

    Args:
        source: The samples; a category whose samples are not adjacent gets more files.
        folder: An empty folder.
        advance: Called with the number of samples written since the last call.

    Returns:
        Number of samples that no table lists: always 0.
    """
    names = _names(source.table)
    schema = _schema(source)
    parts: Counter[str] = Counter()
    writer: pq.ParquetWriter | None = None
    group: list[pa.Table] = []
    group_bytes = 0
    current = ""
    try:
        for part in source.parts():
            partitions = _partitions(source.table.slice(part.start, len(part)), names)
            for partition, first, last in _runs(partitions):
                if partition != current or writer is None:
                    _end(writer, group)
                    group_bytes = 0
                    current = partition
                    writer = _begin(folder / TABLE / partition, parts[partition], schema)
                    parts[partition] += 1
                group.append(_rows(source, part, first, last, schema))
                group_bytes += group[-1].nbytes
                if group_bytes >= ROW_GROUP_BYTES:
                    _write_group(writer, group)
                    group_bytes = 0
            advance(len(part))
        _end(writer, group)
        writer = None
    finally:
        if writer is not None:
            writer.close()
    return 0


def _begin(folder: Path, number: int, schema: pa.Schema) -> pq.ParquetWriter:
    folder.mkdir(parents=True, exist_ok=True)
    described = [name for name in schema.names if not name.endswith("_tensor")]
    return pq.ParquetWriter(
        folder / f"part-{number:04}.parquet",
        schema,
        compression=_COMPRESSION,
        compression_level=_LEVEL,
        use_dictionary=described,
        write_statistics=described,
    )


def _write_group(writer: pq.ParquetWriter, group: list[pa.Table]) -> None:
    rows = pa.concat_tables(group)
    writer.write_table(rows, row_group_size=rows.num_rows)
    group.clear()


def _end(writer: pq.ParquetWriter | None, group: list[pa.Table]) -> None:
    if writer is not None:
        if group:
            _write_group(writer, group)
        writer.close()


def _rows(source: Source, part: Part, first: int, last: int, schema: pa.Schema) -> pa.Table:
    """Return the rows of a part from position `first` up to `last`, without `last`."""
    start = part.start + first
    table = source.table.slice(start, last - first).drop_columns(list(PARTITIONED_BY))
    has_mask = source.mask_from_file[start : start + last - first]
    tensors = {
        "image_tensor": [image.tobytes() for image in part.images[first:last]],
        "mask_tensor": [
            mask.tobytes() if known else None
            for mask, known in zip(part.masks[first:last], has_mask, strict=True)
        ],
    }
    columns = [
        pa.chunked_array([pa.array(tensors[field.name], field.type)])
        if field.name in tensors
        else table[field.name]
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _schema(source: Source) -> pa.Schema:
    """Return the schema of the metadata, with the tensors at their place in the view `samples`."""
    height, width, channels = source.shape
    tensors = [
        _tensor("image_tensor", {"height": height, "width": width, "channels": channels}, False),
        _tensor("mask_tensor", {"height": height, "width": width}, True),
    ]
    fields = [field for field in source.table.schema if field.name not in PARTITIONED_BY]
    place = [field.name for field in fields].index("channels") + 1
    facts = {"snapshot_id": source.snapshot_id or "", "recipe": source.recipe}
    return pa.schema([*fields[:place], *tensors, *fields[place:]], metadata=facts)


def _tensor(name: str, sides: dict[str, int], nullable: bool) -> pa.Field:
    described = {
        "dtype": "uint8",
        "shape": json.dumps([*sides.values()]),
        "dim_names": json.dumps([*sides]),
    }
    return pa.field(name, pa.binary(), nullable=nullable, metadata=described)


def _names(table: pa.Table) -> list[dict[str, str]]:
    """Return, for each partition column, every value as it is written in a path."""
    return [_values(table[name].unique().to_pylist()) for name in PARTITIONED_BY]


def _partitions(table: pa.Table, names: list[dict[str, str]]) -> npt.NDArray[np.object_]:
    """Return the folder of every row."""
    rows = zip(*(table[name].to_pylist() for name in PARTITIONED_BY), strict=True)
    return np.array(
        [
            "/".join(
                f"{name}={known[text]}"
                for name, known, text in zip(PARTITIONED_BY, names, row, strict=True)
            )
            for row in rows
        ],
        object,
    )


def _values(texts: Iterable[str]) -> dict[str, str]:
    """Return each value as it is written in a path; values stay different also if case is ignored."""
    quoted = {text: quote(text, safe="") for text in texts}
    uses = Counter(value.casefold() for value in quoted.values())
    return {
        text: _short(value if uses[value.casefold()] == 1 else _without_capitals(text), text)
        for text, value in quoted.items()
    }


def _without_capitals(text: str) -> str:
    return "".join(
        f"%{ord(sign):02X}" if sign in string.ascii_uppercase else quote(sign, safe="")
        for sign in text
    )


def _short(value: str, text: str) -> str:
    if len(value) <= _LONGEST_VALUE:
        return value
    kept = value[: _LONGEST_VALUE - 20]
    whole = kept.rsplit("%", 1)[0] if "%" in kept[-2:] else kept
    return f"{whole}~{digest(text)}"


def _runs(partitions: npt.NDArray[np.object_]) -> Iterable[tuple[str, int, int]]:
    """Yield runs of equal values: the value, its first position, and the first position after it."""
    starts = [0, *(np.flatnonzero(partitions[1:] != partitions[:-1]) + 1).tolist()]
    ends = [*starts[1:], len(partitions)]
    for first, last in zip(starts, ends, strict=True):
        yield partitions[first], first, last
