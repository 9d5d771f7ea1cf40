"""Build the index of a gallery: the columns by which images are filtered, sorted and compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from anomaly_assets.gallery.content import Content
from anomaly_assets.gallery.packs import Pack

FORMAT = 1
"""Version of the data files; the page refuses another one."""

_CODED = ("source_dataset", "split", "label", "label_source", "defect_type")
_DIGITS_OF_CONTENT = 12

Words = list[Any]


def index_of(content: Content, tiles: Sequence[Pack], details: Sequence[Pack]) -> dict[str, Any]:
    """Return the index as a value of JSON.

    Each column has one value per image, in the order of the gallery. A code is a position in a list of
    words; -1 stands for null.

    Args:
        content: What the gallery shows.
        tiles: Packs of tiles, which together hold every image once.
        details: Packs of details; empty if the gallery has none.
    """
    table = content.table
    words: dict[str, Words] = {}
    columns: dict[str, Any] = {"image_id": table["image_id"].to_pylist()}
    for name in _CODED:
        if name in table.column_names:
            words[name], columns[name] = coded(table[name])
    words["category"], columns["category"] = _categories(columns["source_dataset"], table)
    words["licence"], columns["licence"] = _licences(content, words, columns)
    columns["content"] = pc.utf8_slice_codeunits(
        table["content_sha256"], 0, _DIGITS_OF_CONTENT
    ).to_pylist()
    # In full: what the page selects by a number must be what SQL selects by it.
    columns["defect_area"] = [*map(_finite, table["mask_area_fraction"].to_pylist())]
    if "score" in table.column_names:
        columns["score"] = [*map(_finite, table["score"].to_pylist())]
    columns["loaded_at"] = _seconds(table["loaded_at"])
    columns["pack"], columns["slot"] = _places(tiles)
    if details:
        columns["detail"], _ = _places(details)
    words["check"] = [
        {"name": check.name, "sentence": check.sentence, "asset": check.asset}
        for check in content.checks
    ]
    return {
        "format": FORMAT,
        "snapshot": {"id": content.snapshot_id, "published_at": content.published_at},
        "count": len(content),
        "recipe": content.recipe,
        "words": words,
        "columns": columns,
        "checks": [check.rows for check in content.checks],
        "attributes": _attributes(table),
        "packs": [pack.path for pack in tiles],
        "details": [pack.path for pack in details],
    }


def coded(column: pa.ChunkedArray) -> tuple[Words, list[int]]:
    """Return the distinct values of a column, sorted, and the position of each row's value; -1 for null."""
    words = column.unique().drop_null().sort()
    codes = pc.index_in(column, value_set=words).fill_null(-1)
    return words.to_pylist(), codes.to_pylist()


def _categories(datasets: list[int], table: pa.Table) -> tuple[Words, list[int]]:
    """Return the categories; two source datasets may have categories of the same name."""
    keys = [*zip(datasets, table["category"].to_pylist(), strict=True)]
    place = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    words = [{"source_dataset": dataset, "name": name} for dataset, name in place]
    return words, [place[key] for key in keys]


def _licences(
    content: Content, words: Mapping[str, Words], columns: Mapping[str, Any]
) -> tuple[Words, list[int]]:
    terms = content.samples.terms
    licences = [terms[name].licence if name in terms else None for name in words["source_dataset"]]
    known = sorted({each for each in licences if each is not None})
    code = [-1 if each is None else known.index(each) for each in licences]
    return known, [code[dataset] for dataset in columns["source_dataset"]]


def _places(packs: Sequence[Pack]) -> tuple[list[int], list[int]]:
    """Return the number of the pack of each image, and its position in the pack."""
    numbers = [number for number, pack in enumerate(packs) for _ in pack.rows]
    return numbers, [row - pack.rows.start for pack in packs for row in pack.rows]


def _attributes(table: pa.Table) -> dict[str, Any]:
    if "attributes" not in table.column_names:
        return {}
    column = table["attributes"].combine_chunks()
    return {field.name: _attribute(pc.struct_field(column, field.name)) for field in column.type}


def _attribute(column: pa.Array) -> dict[str, Any]:
    kind = column.type
    if pa.types.is_timestamp(kind):
        return {"type": "time", "values": _seconds(column)}
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        return {"type": "number", "values": [*map(_finite, column.to_pylist())]}
    if pa.types.is_boolean(kind):
        codes = pc.cast(column, pa.int8()).fill_null(-1).to_pylist()
        return {"type": "boolean", "words": ["false", "true"], "codes": codes}
    words, codes = coded(pa.chunked_array([column.cast(pa.string())]))
    return {"type": "text", "words": words, "codes": codes}


def _seconds(column: pa.Array | pa.ChunkedArray) -> list[float | None]:
    """Return times as seconds since 1970, with microseconds."""
    times = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64())
    return [None if each is None else each / 1_000_000 for each in times.to_pylist()]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
