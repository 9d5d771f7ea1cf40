"""Describe the columns of an export to `datasets` of Hugging Face: classes, pictures, splits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pyarrow as pa

from anomaly_assets.export.selection import Source

Classes = Mapping[str, Sequence[str]]
"""Map of a column to the names of its classes, in the order of their numbers."""

PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""Type in which `datasets` stores pictures."""

_TYPES = {"double": "float64"}
"""Types that `datasets` names otherwise than Arrow does."""


def class_names(source: Source) -> list[str]:
    """Return the names of the labels: the number of each is its place."""
    found = source.table["label"].unique().to_pylist()
    return ["good", "anomalous", *(["unknown"] if "unknown" in found else [])]


def schema_metadata(classes: Classes, pictures: Sequence[str] = ()) -> dict[str, str]:
    """Return the metadata of a Parquet file from which `datasets` takes the features.

    Args:
        classes: Columns of integers that are classes.
        pictures: Columns of pictures.
    """
    features = {
        **{name: {"names": list(names), "_type": "ClassLabel"} for name, names in classes.items()},
        **{name: {"_type": "Image"} for name in pictures},
    }
    return {"huggingface": json.dumps({"info": {"features": features}})}


def loading_lines(source: Source, schema: pa.Schema, classes: Classes, files: str) -> str:
    """Return the lines of a dataset card from which `datasets` loads its files, in YAML.

    Args:
        source: The samples.
        schema: The columns as `datasets` returns them.
        classes: Columns that are classes, besides those in the metadata of the schema.
        files: Pattern of the files of a split; `{}` stands for its name.
    """
    known = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    described = {name: feature for name, feature in known.items() if "names" in feature}
    classes = {**{name: feature["names"] for name, feature in described.items()}, **classes}
    splits = sorted(source.table["split"].unique().to_pylist())
    lines = [
        "configs:",
        "- config_name: default",
        "  data_files:",
        *(json.dumps({"split": split, "path": files.format(split)}) for split in splits),
        "dataset_info:",
        "  features:",
        *(json.dumps({"name": field.name, **_feature(field, classes)}) for field in schema),
    ]
    return "".join(f"  - {line}\n" if line.startswith("{") else f"{line}\n" for line in lines)


def _feature(field: pa.Field, classes: Classes) -> dict[str, object]:
    if field.name in classes:
        names = {str(number): name for number, name in enumerate(classes[field.name])}
        return {"dtype": {"class_label": {"names": names}}}
    if field.type == PICTURE:
        return {"dtype": "image"}
    if pa.types.is_list(field.type):
        return {"list": str(field.type.value_type)}
    return {"dtype": _TYPES.get(str(field.type), str(field.type))}
