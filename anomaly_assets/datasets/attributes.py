"""Read attributes of images: further columns of a declared table, such as camera or serial number.

A declaration names them with their type:

    [[line4.tables]]
    path = "parts.csv"
    columns = { image = "file" }
    attributes.camera = "Camera"
    attributes.serial = { column = "SN", type = "integer" }
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timezone
from typing import Any, Literal, TypeAlias, get_args

from anomaly_assets.arguments import iso_time

AttributeType: TypeAlias = Literal["text", "integer", "number", "boolean", "time"]
"""Type of an attribute in a declaration; times are in UTC."""

SQL_TYPES: Mapping[str, str] = {
    "text": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "time": "TIMESTAMP",
}
"""DuckDB type of each type of an attribute."""

TYPES: tuple[str, ...] = get_args(AttributeType)
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
NO_ATTRIBUTES = {"no_attributes": "BOOLEAN"}
"""Field of the struct if no dataset has attributes: DuckDB has no empty struct."""

_TRUTH = {
    **dict.fromkeys(("true", "yes", "1"), True),
    **dict.fromkeys(("false", "no", "0"), False),
}
_MOST_INTEGER = 2**63
# Python's own functions also read 12_3, and the digits of other scripts.
_INTEGER = re.compile("[+-]?[0-9]{1,19}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Attribute:
    """Column of a table with an attribute of images."""

    column: str
    type: AttributeType = "text"


def typed_value(kind: AttributeType, text: str) -> Any:
    """Return a cell as a value of JSON.

    Raises:
        ValueError: The text is no value of this type.
    """
    if kind == "integer":
        number = int(text) if _INTEGER.fullmatch(text) else _MOST_INTEGER
        if not -_MOST_INTEGER <= number < _MOST_INTEGER:
            raise ValueError(text)
        return number
    if kind == "number":
        if not _NUMBER.fullmatch(text) or not math.isfinite(value := float(text)):
            raise ValueError(text)
        return value
    if kind == "boolean":
        if (truth := _TRUTH.get(text.casefold())) is None:
            raise ValueError(text)
        return truth
    if kind == "time":
        found = iso_time(text)
        try:
            in_utc = found if found.tzinfo is None else found.astimezone(timezone.utc)
        except OverflowError:  # before year 1 or after year 9999
            raise ValueError(text) from None
        return in_utc.replace(tzinfo=None).isoformat(" ")
    return text


def as_json(values: Mapping[str, Any]) -> str | None:
    """Return attributes as JSON, equal for equal values; None without any."""
    return json.dumps(values, sort_keys=True, ensure_ascii=False) if values else None


def struct_of(declarations: Iterable[str | None]) -> dict[str, str]:
    """Return name and DuckDB type of every attribute of some source datasets, sorted by name.

    If two datasets give an attribute different types, it is a DOUBLE for numbers, else a VARCHAR.

    Args:
        declarations: Declared keys of the datasets as JSON; None for a dataset without.
    """
    types: dict[str, set[str]] = {}
    for declaration in declarations:
        for table in json.loads(declaration or "{}").get("tables", ()):
            for name, declared in table.get("attributes", {}).items():
                kind = declared.get("type", "text") if isinstance(declared, dict) else "text"
                types.setdefault(name, set()).add(SQL_TYPES[kind])
    common = {name: _common(found) for name, found in sorted(types.items())}
    return common or NO_ATTRIBUTES


def _common(types: set[str]) -> str:
    if len(types) == 1:
        return next(iter(types))
    return "DOUBLE" if types == {"BIGINT", "DOUBLE"} else "VARCHAR"
