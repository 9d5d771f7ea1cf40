"""Make tables for tests: entries as a declaration gives them, and files of JSON."""

import json
from typing import Any

from anomaly_assets.datasets.declaration import TableEntry, Words
from anomaly_assets.datasets.table_rows import TableContent, read_table
from anomaly_assets_tests.datasets.declared import declarations, toml

COLUMNS = {each: each for each in ("image", "category", "split", "label", "defect_type", "mask")}


def entry(read: str = "csv", **keys: Any) -> tuple[TableEntry, Words]:
    """Return the entry of a table, and the words of its declaration; `words` adds to them."""
    words = keys.pop("words", {})
    if read in ("csv", "json"):
        keys.setdefault("columns", {"image": "image"})
    text = toml({"path": "table.txt", "read": read, **keys})
    declared = declarations(
        f'[a]\nimages = ["{{name}}"]\nwords = {toml(words)}\ntables = [{text}]\n'
    )
    return declared["a"].tables[0], declared["a"].words


def table(content: bytes | str, read: str = "csv", **keys: Any) -> TableContent:
    """Parse a table."""
    data = content.encode() if isinstance(content, str) else content
    return read_table(data, *entry(read, **keys))


def json_table(value: Any, **keys: Any) -> TableContent:
    """Parse a value as a table of JSON objects."""
    return table(json.dumps(value), "json", **keys)


def coco(**lists: Any) -> TableContent:
    """Parse some lists as a COCO file."""
    return table(json.dumps(lists), "coco")
