"""Build the index of a gallery: the columns by which images are filtered, sorted and compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from anomaly_assets.gallery.content import Content
from anomaly_assets.gallery.packs import Pack
from anomaly_assets.gallery.scripts import as_json

FORMAT = 1
"""Version of the data files; the page refuses another one."""

_CODED = ("source_dataset", "split", "label", "label_source", "defect_type")
_DIGITS_OF_CONTENT = 12
_AT_ONCE = 8192
"""Values that are Python objects at once: 200,000 strings and their JSON take 40 MB."""

Words = list[Any]
Codes = npt.NDArray[np.int64]
Text = Iterator[str]
"""A value of JSON, in pieces."""


def index_of(content: Content, tiles: Sequence[Pack], details: Sequence[Pack]) -> Text:
    """Yield the index as JSON, in pieces.

    Each column has one value per image, in the order of the gallery. A code is a position in a list of
    words; -1 stands for null.

    Args:
        content: What the gallery shows.
        tiles: Packs of tiles, which together hold every image once.
        details: Packs of details; empty if the gallery has none.
    """
    table = content.table
    words: dict[str, Words] = {}
    columns = {"image_id": _array(table["image_id"])}
    for name in _CODED:
        if name in table.column_names:
            words[name], codes = coded(table[name])
            columns[name] = _array(codes)
    datasets = coded(table["source_dataset"])[1].to_numpy(zero_copy_only=False)
    words["category"], numbers = _categories(datasets, table)
    columns["category"] = _array(pa.array(numbers))
    words["licence"], numbers = _licences(content, words, datasets)
    columns["licence"] = _array(pa.array(numbers))
    columns["content"] = _array(
        pc.utf8_slice_codeunits(table["content_sha256"], 0, _DIGITS_OF_CONTENT)
    )
    # In full: what the page selects by a number must be what SQL selects by it.
    columns["defect_area"] = _array(table["mask_area_fraction"], _finite)
    if "score" in table.column_names:
        columns["score"] = _array(table["score"], _finite)
    columns["loaded_at"] = _seconds(table["loaded_at"])
    columns["pack"], columns["slot"] = _places(tiles)
    if details:
        columns["detail"], _ = _places(details)
    words["check"] = [
        {"name": check.name, "sentence": check.sentence, "asset": check.asset}
        for check in content.checks
    ]
    snapshot = {"id": content.snapshot_id, "published_at": content.published_at}
    return _object(
        {
            "format": _value(FORMAT),
            "snapshot": _value(snapshot),
            "count": _value(len(content)),
            "recipe": _value(content.recipe),
            "words": _value(words),
            "columns": _object(columns),
            "checks": _value([check.rows for check in content.checks]),
            "attributes": _object(_attributes(table)),
            "packs": _value([pack.path for pack in tiles]),
            "details": _value([pack.path for pack in details]),
        }
    )


def _value(value: Any) -> Text:
    yield as_json(value)


def _object(values: Mapping[str, Text]) -> Text:
    before = "{"
    for name, text in values.items():
        yield f"{before}{as_json(name)}:"
        yield from text
        before = ","
    yield "}" if values else "{}"


def _array(
    column: pa.Array | pa.ChunkedArray, converted: Callable[[Any], Any] | None = None
) -> Text:
    before = "["
    for start in range(0, len(column), _AT_ONCE):
        values = column.slice(start, _AT_ONCE).to_pylist()
        yield before + as_json([*map(converted, values)] if converted else values)[1:-1]
        before = ","
    yield "]" if len(column) else "[]"


def coded(column: pa.ChunkedArray) -> tuple[Words, pa.ChunkedArray]:
    """Return the distinct values of a column, sorted, and the position of each row's value; -1 for null."""
    words = column.unique().drop_null().sort()
    return words.to_pylist(), pc.index_in(column, value_set=words).fill_null(-1)


def _categories(datasets: Codes, table: pa.Table) -> tuple[Words, Codes]:
    """Return the categories; two source datasets may have categories of the same name."""
    names, codes = coded(table["category"])
    pairs = datasets.astype(np.int64) * len(names) + codes.to_numpy()
    found, first, inverse = np.unique(pairs, return_index=True, return_inverse=True)
    order = np.argsort(first)
    words = [
        {"source_dataset": int(found[each]) // len(names), "name": names[found[each] % len(names)]}
        for each in order
    ]
    return words, np.argsort(order)[inverse.ravel()]


def _licences(content: Content, words: Mapping[str, Words], datasets: Codes) -> tuple[Words, Codes]:
    terms = content.samples.terms
    licences = [terms[name].licence if name in terms else None for name in words["source_dataset"]]
    known = sorted({each for each in licences if each is not None})
    codes = np.array([-1 if each is None else known.index(each) for each in licences])
    return known, codes[datasets]


def _places(packs: Sequence[Pack]) -> tuple[Text, Text]:
    """Return the number of the pack of each image, and its position in the pack."""
    sizes = [len(pack.rows) for pack in packs]
    slots = np.arange(sum(sizes)) - np.repeat([pack.rows.start for pack in packs], sizes)
    return _array(pa.array(np.repeat(np.arange(len(packs)), sizes))), _array(pa.array(slots))


def _attributes(table: pa.Table) -> dict[str, Text]:
    if "attributes" not in table.column_names:
        return {}
    column = table["attributes"].combine_chunks()
    return {
        field.name: _object(_attribute(pc.struct_field(column, field.name)))
        for field in column.type
    }


def _attribute(column: pa.Array) -> dict[str, Text]:
    kind = column.type
    if pa.types.is_timestamp(kind):
        return {"type": _value("time"), "values": _seconds(column)}
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        return {"type": _value("number"), "values": _array(column, _finite)}
    if pa.types.is_boolean(kind):
        codes = pc.cast(column, pa.int8()).fill_null(-1)
        words = _value(["false", "true"])
        return {"type": _value("boolean"), "words": words, "codes": _array(codes)}
    names, codes = coded(pa.chunked_array([column.cast(pa.string())]))
    return {"type": _value("text"), "words": _value(names), "codes": _array(codes)}


def _seconds(column: pa.Array | pa.ChunkedArray) -> Text:
    """Return times as seconds since 1970, with microseconds."""
    times = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64())
    return _array(times, lambda time: None if time is None else time / 1_000_000)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
