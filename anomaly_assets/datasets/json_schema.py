"""Derive the JSON schema of declarations, for editors, from the constants and types of the parser.

The result is `declaration.schema.json`. To write it:

    python -m anomaly_assets.datasets.json_schema > anomaly_assets/datasets/declaration.schema.json

VS Code with Even Better TOML, and taplo, use it for a file whose first line is `#:schema` and the path or
the URL of the schema. The parser does not use it, because it finds more, such as misspelt placeholders.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from anomaly_assets.datasets.attributes import NAME, TYPES
from anomaly_assets.datasets.declaration import (
    ALL_SPLITS,
    DEFAULT_WORDS,
    SPLITS,
    SUFFIXES,
    UNASSIGNED,
    Declaration,
    Entry,
    ImageEntry,
    MaskEntry,
    StrayEntry,
    TableEntry,
)
from anomaly_assets.datasets.declaration_entries import COLUMNS, REASON
from anomaly_assets.datasets.declaration_files import BUILT_IN, KEYS
from anomaly_assets.datasets.declaration_table import COUNTS

SCHEMA_FILE = "declaration.schema.json"
"""File of this package with the schema."""

Schema = dict[str, Any]

ENTRIES: Mapping[str, type[Entry]] = {
    "images": ImageEntry,
    "masks": MaskEntry,
    "tables": TableEntry,
    "strays": StrayEntry,
}
"""Class of the entries of each list of patterns."""

_TEXT: Schema = {"type": "string", "pattern": r"\S"}
_RECIPE: Schema = {"type": ["string", "integer"], "pattern": r"\S", "minimum": 1}
_COUNT: Schema = {"type": "integer", "minimum": 0}


def json_schema() -> Schema:
    """Return the schema of a TOML file of declarations.

    Raises:
        KeyError: This module does not describe a key of the parser.
    """
    keys = _keys()
    declaration = _table(
        {key: keys[key] for key in KEYS},
        anyOf=[{"required": ["images"]}, {"required": ["like"]}],
    )
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Declarations of source datasets: one table is one dataset",
        "type": "object",
        "additionalProperties": {"$ref": "#/definitions/declaration"},
        "definitions": {"declaration": declaration, "split_counts": _split_counts()},
    }


def schema_text() -> str:
    """Return the content of the file of the schema."""
    return json.dumps(json_schema(), indent=2) + "\n"


def _keys() -> Mapping[str, Schema]:
    """Return the schema of each key of a declaration."""
    return {
        "title": _described(_TEXT, "Name for people."),
        "licence": _described(_TEXT, "Licence of the images."),
        "citation": _described(_TEXT, "Publication to cite."),
        "commercial_use": _described(
            {"enum": _choices(Declaration, "commercial_use")},
            "Whether the images may be used commercially; by default as far as the licence is known.",
        ),
        "root": _described(
            _TEXT,
            "Folder, zip file or URL, without a password. A relative path starts at this file. The "
            "environment variable NAME_ROOT is used instead if it is set.",
        ),
        "like": _described({"enum": list(BUILT_IN)}, "Built-in dataset with the same layout."),
        "category": _described(
            _TEXT, "Default category: for images whose category nothing else defines."
        ),
        "split": _described(_TEXT, "Default split: for images whose split nothing else defines."),
        "label": _described(_TEXT, "Default label: for images whose label nothing else defines."),
        "images": _list("images", "Patterns of images.", minItems=1),
        "masks": _list("masks", "Patterns of masks, which are tried before those of images."),
        "tables": _list("tables", "Patterns of files with a row for each image."),
        "strays": _list("strays", "Patterns of files that are known and not read; tried first."),
        "formats": _described(
            {"type": "array", "items": {"enum": list(SUFFIXES)}, "minItems": 1},
            "Formats that images may have.",
        ),
        "unmasked": _described(
            {"enum": _choices(Declaration, "unmasked")},
            "Label of an image without a mask, if other images of its category and split have one.",
        ),
        "words": _described(
            _table({kind: {"type": "array", "items": _TEXT} for kind in DEFAULT_WORDS}),
            "Words for labels and splits, besides those that are known.",
        ),
        "depth": _described(
            {"anyOf": [{"const": "file"}, {"type": "integer", "minimum": 9, "maximum": 16}]},
            "Bits that a 16-bit file uses.",
        ),
        "size": _described(
            {"anyOf": [_RECIPE, {"type": "array", "items": _RECIPE}]},
            "Recipes of its tensors besides the common one, such as 512x512x1.",
        ),
        "links": _described(
            {"enum": _choices(Declaration, "links")}, "Whether symbolic links may leave the root."
        ),
        "folders_around": _described(
            {"enum": _choices(Declaration, "folders_around")},
            "Folders around the dataset that its paths may have in addition.",
        ),
        "training_is_good": _described({"type": "boolean"}, "Whether a check expects it."),
        "counts": _described(_counts(), "Published numbers of images."),
    }


def _list(kind: str, description: str, **limits: int) -> Schema:
    """Return the schema of a list of patterns."""
    of_class = ENTRIES[kind]
    entry = _table(
        {"path": _TEXT}
        | {each.name: _option(of_class, each.name) for each in fields(of_class)[1:]},
        required=["path"],
    )
    items: Schema = {"anyOf": [_TEXT, entry]}
    if of_class is MaskEntry:
        entry["dependencies"] = {"shapes": _read("labelme")}
    elif of_class is TableEntry:
        # Only these two formats have fixed names for the path of an image.
        with_image = {"required": ["columns"], "properties": {"columns": {"required": ["image"]}}}
        items = entry | {"anyOf": [_read("coco"), _read("dagm_labels"), with_image]}
    return _described({"type": "array", "items": items, **limits}, description)


def _read(format_name: str) -> Schema:
    return {"properties": {"read": {"const": format_name}}, "required": ["read"]}


def _option(of_class: type[Entry], name: str) -> Schema:
    """Return the schema of a value or an option of an entry."""
    others: dict[str, Schema] = {
        "category": _TEXT,
        "split": _TEXT,
        "label": _TEXT,
        "defect_type": _TEXT,
        "shapes": {"type": "array", "items": {"type": "string"}},
        "columns": _table(dict.fromkeys(COLUMNS, _TEXT)),
        "attributes": _attributes(),
        "reason": {"type": "string", "pattern": f"^{REASON.pattern}$"},
    }
    if name in others:
        return others[name]
    choices: Schema = {"enum": _choices(of_class, name)}
    if name != "defect":
        return choices
    number = {"type": "integer", "minimum": 0, "maximum": 65535}
    colour = {"type": "string", "pattern": "^#[0-9A-Fa-f]{6}$"}
    lists = [{"type": "array", "items": each, "minItems": 1} for each in (number, colour)]
    return {"anyOf": [choices, *lists]}


def _attributes() -> Schema:
    of_column = _table({"column": _TEXT, "type": {"enum": list(TYPES)}}, required=["column"])
    names = {"pattern": f"^{NAME.pattern}$"}
    return {
        "type": "object",
        "propertyNames": names,
        "additionalProperties": {"anyOf": [_TEXT, of_column]},
    }


def _counts() -> Schema:
    split_counts = {"$ref": "#/definitions/split_counts"}
    of_key: Mapping[str, Schema] = {
        "total": split_counts,
        "category": {"type": "object", "additionalProperties": split_counts},
        "images": _COUNT,
    }
    return _table({key: of_key[key] for key in COUNTS}, minProperties=1, maxProperties=1)


def _split_counts() -> Schema:
    pair = {"type": "array", "items": _COUNT, "minItems": 2, "maxItems": 2}
    known = [_table(dict.fromkeys((*SPLITS, UNASSIGNED), pair), minProperties=1)]
    known.append(_table({ALL_SPLITS: pair}, required=[ALL_SPLITS]))
    return _described({"anyOf": known}, "Numbers of good and of anomalous images by split.")


def _choices(of_class: type[object], name: str) -> list[Any]:
    """Return the values that the type of an attribute allows."""
    hint = get_type_hints(of_class)[name]
    [literal] = [each for each in (hint, *get_args(hint)) if get_origin(each) is Literal]
    return list(get_args(literal))


def _table(properties: Mapping[str, Schema], **limits: Any) -> Schema:
    """Return the schema of a table with these keys and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        "additionalProperties": False,
        **limits,
    }


def _described(schema: Schema, description: str) -> Schema:
    return {"description": description, **schema}


if __name__ == "__main__":
    sys.stdout.write(schema_text())
