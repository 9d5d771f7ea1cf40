"""Parse tables of separated values."""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple, TextIO

from anomaly_assets.datasets.table_cells import (
    Collected,
    TableFaultError,
    find_column,
    key_of,
    no_column,
    quoted,
)

_SEPARATORS = ",;\t|"
_HINT = "sep="
"""Start of the line that Excel reads the separator from."""


def read_csv(text: TextIO, columns: Mapping[str, str], collected: Collected) -> None:
    """Add the rows of a table of separated values.

    Args:
        text: The table, with line ends as they are in the file.
        columns: Column of each property of an image.
        collected: Rows and reasons, to which this function adds.

    Raises:
        TableFaultError: The table cannot be used.
    """
    opened = open_records(text, columns.values(), collected.refuse)
    places = _places(opened.names, columns, collected)
    for number, cells in opened.records:
        collected.add(
            [None if place is None else cells[place].strip() or None for place in places], number
        )


class Records(NamedTuple):
    """Table of separated values.

    Attributes:
        separator: Separator of the cells.
        names: The columns.
        records: The records that are not blank: number of the first line, and one cell for each column.
    """

    separator: str
    names: list[str]
    records: Iterator[tuple[int, list[str]]]


def open_records(
    text: TextIO, wanted: Collection[str], refuse: Callable[[int, str], None]
) -> Records:
    """Read the header of a table of separated values, and return its records as a stream.

    The separator is the one with which the header has most of the wanted columns.

    Args:
        text: The table, with line ends as they are in the file.
        wanted: Names of columns.
        refuse: Called with the line of a record that cannot be used, and the reason.

    Raises:
        TableFaultError: The table cannot be used; also raised while records are read.
    """
    lines = iter(text)
    skipped = 0
    for line in lines:
        if line.strip():
            break
        skipped += 1
    else:
        raise TableFaultError("The file has no text. Write a header into it, or copy it again.")
    separators = _SEPARATORS
    bare = line.strip().strip('"')
    if bare.lower().startswith(_HINT) and len(bare) == len(_HINT) + 1:
        separators = bare[-1]
        skipped += 1
        line = next(lines, "")
    separator = max(separators, key=lambda each: _columns_found(line, each, wanted))
    records = _records(chain([line], lines), separator, skipped, refuse)
    header = next(records, None)
    if header is None:
        raise TableFaultError(
            "The first line is no header. Write the names of the columns into it."
        )
    names = [each.strip() for each in header[1]]
    return Records(separator, names, _complete(records, names, separator, refuse))


def _complete(
    records: Iterable[tuple[int, list[str]]],
    names: Sequence[str],
    separator: str,
    refuse: Callable[[int, str], None],
) -> Iterator[tuple[int, list[str]]]:
    """Yield records with as many cells as the header; refuse those with more."""
    for number, cells in records:
        if len(cells) > len(names) and any(cells[len(names) :]):
            refuse(
                number,
                f"{len(cells)} cells, and the header has {len(names)}; quote cells with a separator",
            )
            continue
        if "\n" in "".join(cells) and any(
            "\n" in cell and _has_rows(cell, separator, len(names)) for cell in cells
        ):
            raise TableFaultError(
                f"Row {number} has a quotation mark that is not closed: a cell contains the rows after it. "
                "Close it, or double the marks within the cell."
            )
        yield number, cells[: len(names)] + [""] * (len(names) - len(cells))


def _has_rows(cell: str, separator: str, columns: int) -> bool:
    """Return whether a line within a cell has as many columns as a row: a closing quote is missing."""
    lines = cell.splitlines()[1:]
    return columns > 1 and any(line.count(separator) == columns - 1 for line in lines)


def _columns_found(line: str, separator: str, wanted: Collection[str]) -> tuple[int, int]:
    """Return how many wanted columns a header has with a separator, and how many columns at all."""
    try:
        names = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        return 0, 0
    return sum(bool(find_column(name, names)) for name in wanted), len(names)


def _records(
    lines: Iterable[str], separator: str, skipped: int, refuse: Callable[[int, str], None]
) -> Iterator[tuple[int, list[str]]]:
    """Yield the records that are not blank, with the number of their first line."""
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    while True:
        number = skipped + reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:  # such as a cell of 131,072 characters
            refuse(number, f"{error}; a quotation mark may not be closed")
            continue
        if any(record):
            yield number, record


def _places(names: list[str], columns: Mapping[str, str], collected: Collected) -> list[int | None]:
    """Return the place of each property of an image; None for one that is not declared, or is missing."""
    places: list[int | None] = []
    for column in collected.names:
        name = columns.get(column)
        found = [] if name is None else find_column(name, names)
        if name is not None and not found:
            collected.miss(column, no_column(name, names, key_of(column)))
        if name is not None and len(found) > 1:
            problem = f"{len(found)} columns have the name {quoted(name)}. Rename all but one."
            collected.miss(column, problem)
        places.append(found[0] if len(found) == 1 else None)
    return places
