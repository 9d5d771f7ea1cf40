"""Parse the file of a table: its rows, what is wrong with some of them, or why it cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO

from anomaly_assets.datasets.coco import read_coco
from anomaly_assets.datasets.dagm_labels import parse_labels
from anomaly_assets.datasets.declaration import TableEntry, Words
from anomaly_assets.datasets.json_stream import JsonError, JsonStream
from anomaly_assets.datasets.table_cells import (
    MAX_ROWS,
    MOST_MALFORMED,
    Collected,
    Row,
    TableContent,
    TableFaultError,
)
from anomaly_assets.datasets.table_csv import read_csv
from anomaly_assets.datasets.table_json import read_json
from anomaly_assets.datasets.table_text import TooLargeError, open_text

__all__ = ["MAX_BYTES", "MAX_ROWS", "MOST_MALFORMED", "Row", "TableContent", "read_table"]

MAX_BYTES: Mapping[str, int] = {
    "dagm_labels": 4 * 1024 * 1024,
    "csv": 256 * 1024 * 1024,
    "json": 256 * 1024 * 1024,
    "coco": 256 * 1024 * 1024,
}
"""Size limit of each format."""


def read_table(content: BinaryIO | bytes, entry: TableEntry, words: Words) -> TableContent:
    """Parse the file of a table.

    Any Unicode encoding is read, with or without a byte order mark, as a stream. No bytes make this
    function fail; an error of the file itself, such as an `OSError`, is raised unchanged.

    Args:
        content: The file, or its content.
        entry: The declared table.
        words: Words with a meaning.
    """
    collected = Collected(words, entry.attributes)
    most = MAX_BYTES[entry.read]
    try:
        if entry.read == "dagm_labels":
            _read_labels(content, most, collected)
        else:
            _read_text(content, most, entry, collected)
    except TooLargeError:
        fault = (
            f"The file is larger than {most // 2**20} MB. Split it into several files, and match them "
            "with one pattern."
        )
        return TableContent((), fault=fault)
    except TableFaultError as error:
        return TableContent((), fault=str(error))
    except JsonError as error:
        fault = f"The file cannot be read as JSON: {error}. Correct it, or export it again."
        return TableContent((), fault=fault)
    return collected.content()


def _read_text(
    content: BinaryIO | bytes, most: int, entry: TableEntry, collected: Collected
) -> None:
    text, _ = open_text(content, most)
    if entry.read == "csv":
        read_csv(text, entry.cells, collected)
    elif entry.read == "coco":
        read_coco(JsonStream(text), collected)
    else:
        read_json(JsonStream(text), entry.cells, entry.rows, collected)


def _read_labels(content: BinaryIO | bytes, most: int, collected: Collected) -> None:
    """Add the rows of a `Labels.txt`; their numbers are positions among the declared images."""
    data = content if isinstance(content, bytes) else content.read(most + 1)
    if len(data) > most:
        raise TooLargeError
    labels = parse_labels(data)
    for number, (name, index) in enumerate(labels.label_index_of.items(), start=1):
        cells = (name, None, None, "anomalous" if index else "good", None, None)
        collected.add(cells, number)
    for number in labels.malformed_lines:
        collected.refuse(number, "expected tab-separated fields: number, 0 or 1, file name")
    if labels.encodings:
        collected.notes.append(
            f"Some bytes are not text in {' or '.join(labels.encodings)}. Save the file as UTF-8."
        )
