"""Parse tables that are lists of JSON objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from anomaly_assets.datasets.declaration import ATTRIBUTES
from anomaly_assets.datasets.json_stream import JsonStream
from anomaly_assets.datasets.table_cells import (
    Collected,
    TableFaultError,
    find_column,
    key_of,
    listed,
    no_column,
    quoted,
)
from anomaly_assets.datasets.words import Split

_MOST_KEYS = 100
_MISSING = object()


def read_json(
    stream: JsonStream,
    columns: Mapping[str, str],
    rows: Literal["list", "split"],
    collected: Collected,
) -> None:
    """Add the rows of a list of objects or of image paths, or of one such list per split.

    A key can be a path of keys, such as `meta.file`, if no key has this name. `null`, `NaN` and a missing
    key are empty cells, but a key that no object has is a fault.

    Args:
        stream: The text.
        columns: Key of each property of an image.
        rows: Whether there is one list, or an object with one list per split.
        collected: Rows and reasons, to which this function adds.

    Raises:
        TableFaultError: The table cannot be used.
    """
    objects = _Objects(columns, collected.names)
    sign = stream.next_sign()
    if rows == "list":
        if sign != "[":
            raise TableFaultError(
                'The file is no list of objects. Save it as one, or write rows = "split" if it is an '
                "object with one list per split."
            )
        _add_list(stream, objects, collected, "", None)
    else:
        if sign != "{":
            raise TableFaultError(
                'The file is no object with one list per split. Remove rows = "split" from the declaration.'
            )
        _add_splits(stream, objects, collected)
    stream.end()
    objects.check(collected)


def _add_splits(stream: JsonStream, objects: _Objects, collected: Collected) -> None:
    ignored: list[str] = []
    found = False
    for key in stream.members():
        split = collected.split_of(key)
        if split is not None and stream.next_sign() == "[":
            found = True
            _add_list(stream, objects, collected, f"in {quoted(key)}: ", split)
        else:
            if len(ignored) < _MOST_KEYS:
                ignored.append(key)
            stream.skip()
    if not found:
        raise TableFaultError(
            f"No key is a word for a split with a list; the keys are {listed(ignored)}. Add the words to "
            "`words`."
        )
    if ignored:
        collected.notes.append(
            f"Keys that are no split with a list were left out: {listed(ignored)}."
        )


def _add_list(
    stream: JsonStream, objects: _Objects, collected: Collected, place: str, split: Split | None
) -> None:
    for number, element in enumerate(stream.elements(), start=1):
        if isinstance(element, str):
            collected.add(
                (element.strip(), *(None,) * (len(collected.names) - 1)), number, place, split
            )
            continue
        if not isinstance(element, dict):
            collected.refuse(number, f"{place}the row is {_kind(element)} and no object")
            continue
        cells: list[str | None] = []
        refused = False
        for column, value in objects.values(element):
            cell = _cell(column, value, collected)
            if cell is None and value is not None and value is not _MISSING:
                if isinstance(value, bool):
                    reason = (
                        f"{column} is {str(value).lower()}; give it a meaning in words, or use text"
                    )
                else:
                    reason = f"{column} is {_kind(value)}; text is needed"
                collected.refuse(number, f"{place}{reason}")
                refused |= not column.startswith(ATTRIBUTES)  # which change nothing else
            cells.append(cell or None)
        if not refused:
            collected.add(cells, number, place, split)
        elif row := collected.row(cells, number, split)[
            0
        ]:  # its image is known, and nothing is guessed
            collected.append(row._replace(is_unclear=True))


class _Objects:
    """Values of declared keys in objects, and which keys are in any object."""

    def __init__(self, columns: Mapping[str, str], names: Sequence[str]) -> None:
        self._columns = columns
        self._names = names
        self._missing = {name for name in names if name in columns}
        self._keys: dict[str, None] = {}
        self._any = False
        self._found: dict[tuple[str, tuple[str, ...]], str | None] = {}

    def values(self, element: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """Yield each property of an image with its value."""
        self._any = True
        for column in self._names:
            name = self._columns.get(column)
            value = _MISSING if name is None else self._value(element, name)
            if value is not _MISSING:
                self._missing.discard(column)
            yield column, value
        if self._missing and len(self._keys) < _MOST_KEYS:
            self._keys.update(dict.fromkeys(element))

    def _value(self, element: dict[str, Any], name: str) -> Any:
        value = element.get(name, _MISSING)
        if value is not _MISSING:
            return value
        keys = tuple(element)
        if (name, keys) not in self._found:
            if len(self._found) > _MOST_KEYS:
                self._found.clear()
            places = find_column(name, keys)
            self._found[name, keys] = keys[places[0]] if places else None
        other = self._found[name, keys]
        if other is not None:
            return element[other]
        value = element
        for key in name.split("."):
            value = value.get(key, _MISSING) if isinstance(value, dict) else _MISSING
        return value

    def check(self, collected: Collected) -> None:
        """Refuse a table if a declared key is in none of its objects; note the key of an attribute.

        Raises:
            TableFaultError: The declared key of a property other than an attribute is in no object.
        """
        if not self._any:
            return
        for column in sorted(self._missing):
            keys = list(self._keys)
            collected.miss(column, no_column(self._columns[column], keys, key_of(column)))


def _cell(column: str, value: Any, collected: Collected) -> str | None:
    """Return a value as text; None if it is not text, or has no meaning in its column."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        text = str(value).lower()
        is_label = column in ("label", "defect_type") and collected.label_of(text)
        return text if is_label or column.startswith(ATTRIBUTES) else None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    return str(value) if isinstance(value, int) else None


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", type(None): "null", bool: "true or false"}
    return names.get(type(value), "a number")
