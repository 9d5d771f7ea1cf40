"""Describe an export in Croissant 1.0, the metadata format of MLCommons, as `croissant.json`.

Loaders of Croissant, such as `mlcroissant`, read the files of an export by it, and search engines index it.
https://docs.mlcommons.org/croissant defines the format. A set of files names no archive that contains it:
its patterns start at the folder of `croissant.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from anomaly_assets.datasets.licences import licence_url
from anomaly_assets.export.huggingface import PICTURE
from anomaly_assets.export.licence import terms_and_counts
from anomaly_assets.export.selection import Source

CROISSANT = "croissant.json"

Json = dict[str, Any]


@dataclass(frozen=True)
class Files:
    """Files of a format, as glob patterns below the folder of the export.

    Attributes:
        table: Parquet files with a row per sample; None for a format without them.
        images: PNG files of images; none if the table has them.
        masks: PNG files of masks.
    """

    table: str | None = None
    images: Sequence[str] = ()
    masks: Sequence[str] = ()


def croissant_text(source: Source, folder: Path, files: Files) -> str:
    """Return the content of `croissant.json`.

    Args:
        source: The samples.
        folder: Folder of the export, with its tables.
        files: Files of the format.
    """
    terms = [each for each, _ in terms_and_counts(source).values()]
    pictures = {"images": files.images, "masks": files.masks}
    pictures = {name: patterns for name, patterns in pictures.items() if patterns}
    tables = [files.table] if files.table else []
    described: Json = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": source.title,
        "description": f"{len(source)} {source.things} for anomaly detection, with labels and masks.",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "license": sorted({licence_url(each.licence) or each.licence for each in terms}),
        "citeAs": "\n".join(each.citation for each in terms if each.citation) or None,
        "datePublished": source.published_on,
        "version": f"1.0.0+{source.snapshot_id[:12]}" if source.snapshot_id else None,
        "keywords": ["anomaly detection", "defect detection", "industrial inspection"],
        "distribution": [
            *(_file_set("tables", [pattern], "application/x-parquet") for pattern in tables),
            *(
                _file_set(f"{name}-files", patterns, "image/png")
                for name, patterns in pictures.items()
            ),
        ],
        "recordSet": [
            *(_samples(pq.read_schema(next(folder.glob(pattern)))) for pattern in tables),
            *(_pictures(name) for name in pictures),
        ],
    }
    kept = {name: value for name, value in described.items() if value is not None}
    return json.dumps(kept, indent=2, ensure_ascii=False) + "\n"


def _file_set(name: str, patterns: Sequence[str], encoding: str) -> Json:
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "encodingFormat": encoding,
        "includes": list(patterns),
    }


def _samples(schema: pa.Schema) -> Json:
    """Return a record per row of the tables, without raw tensors: `image` and `mask` hold their pixels."""
    fields = []
    for column in schema:
        extract: Json = {"fileSet": {"@id": "tables"}, "extract": {"column": column.name}}
        if column.type == PICTURE:
            picture = {**extract, "transform": {"jsonPath": "bytes"}}
            fields.append(_field("samples", column.name, "sc:ImageObject", picture))
        elif pa.types.is_list(column.type):
            values = _field("samples", column.name, _data_type(column.type.value_type), extract)
            fields.append({**values, "repeated": True})
        elif not (pa.types.is_binary(column.type) or pa.types.is_nested(column.type)):
            fields.append(_field("samples", column.name, _data_type(column.type), extract))
    return _record_set("samples", fields)


def _pictures(name: str) -> Json:
    """Return a record per PNG file: its path below the folder of the export, and its pixels."""
    properties = {"path": ("sc:Text", "fullpath"), "content": ("sc:ImageObject", "content")}
    files = {"fileSet": {"@id": f"{name}-files"}}
    fields = [
        _field(name, of, kind, {**files, "extract": {"fileProperty": extracted}})
        for of, (kind, extracted) in properties.items()
    ]
    return _record_set(name, fields)


def _record_set(name: str, fields: Sequence[Json]) -> Json:
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "field": list(fields)}


def _field(record_set: str, name: str, data_type: str, source: Json) -> Json:
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{name}",
        "name": name,
        "dataType": data_type,
        "source": source,
    }


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    if pa.types.is_timestamp(kind):
        return "sc:DateTime"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"


_OF_CROISSANT = (
    *("citeAs", "column", "examples", "extract", "field", "fileObject", "fileProperty", "fileSet"),
    *("format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path"),
    *("recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator"),
    *("source", "subField", "transform", "equivalentProperty"),
)

_CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    **{name: f"cr:{name}" for name in _OF_CROISSANT},
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}
"""Context of Croissant 1.0 in JSON-LD, as the specification gives it."""
