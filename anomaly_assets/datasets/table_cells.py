"""Convert the cells of a table to rows, and collect what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import NamedTuple

from anomaly_assets.datasets.attributes import Attribute, as_json, typed_value
from anomaly_assets.datasets.declaration import ATTRIBUTES, Words
from anomaly_assets.datasets.names import canonical_path, normalized, shown
from anomaly_assets.datasets.patterns import folded
from anomaly_assets.datasets.words import UNSPECIFIED, Label, Split

COLUMNS = ("image", "category", "split", "label", "defect_type", "mask")
"""Properties of an image that a column can have; `Cells` has them in this order."""

MAX_ROWS = 5_000_000
"""Maximum number of rows of a table."""

MOST_MALFORMED = 20
"""Maximum number of malformed rows that are kept with their reasons; the others are only counted."""

_MOST_SHOWN = 60
_MOST_COMPARED = 1000
_NO_TEXT = re.compile("[\x00-\x1f\x7f\ud800-\udfff\ufffd]")


class Row(NamedTuple):
    """An image by a row of a table; a property is None if the row does not give it.

    Attributes:
        image: Path or name as written, in NFC, with `/` between folders, without a leading `./`.
        category: Category.
        split: Split.
        label: Label.
        defect_type: Type of the defect; `unspecified` for a word that means anomalous.
        mask: Path of the mask below the root, in the form of `image`.
        number: Line in a CSV file, else the position in its list, from 1.
        shapes: JSON text of the shapes of this image in a COCO file, for `decoding.shapes`. `[]` if the
            file has the image without annotations. None in other tables.
        width: Width of the picture on which the shapes were drawn; `height` is its height.
        is_unclear: Whether a cell is invalid, so that nothing weaker may give the label.
        attributes: Attributes as JSON; None without any.
    """

    image: str
    category: str | None
    split: Split | None
    label: Label | None
    defect_type: str | None
    mask: str | None
    number: int
    shapes: str | None = None
    width: int | None = None
    height: int | None = None
    is_unclear: bool = False
    attributes: str | None = None


class TableContent(NamedTuple):
    """Content of a table.

    Attributes:
        rows: Usable rows, including those with an invalid cell.
        malformed: Number and reason of rows that cannot be used, or not in full, at most `MOST_MALFORMED`.
        notes: Sentences about what was left out.
        fault: Error message with the remedy if the whole file cannot be used; then there are no rows.
        malformed_count: Number of all rows that cannot be used.
        missing: Sentences about attributes that no image of the table has, because their column is missing.
    """

    rows: Sequence[Row]
    malformed: tuple[tuple[int, str], ...] = ()
    notes: tuple[str, ...] = ()
    fault: str | None = None
    malformed_count: int = 0
    missing: tuple[str, ...] = ()


class TableFaultError(Exception):
    """A table cannot be used; the message has the remedy."""


_NO_TYPES = frozenset({"-", "--", "none", "n/a", "na", "nan", "null"})
"""Texts in a column of defect types that mean none, beside a column of labels."""

Cells = Sequence["str | None"]
"""Text of each column of `Collected.names`; None for an empty cell or a column that is not declared."""


@dataclass
class Collected:
    """Rows of a table, and what is wrong with the others.

    Attributes:
        words: Words with a meaning.
        rows: Rows that can be used.
        malformed: Number and reason of rows that cannot be used; not all of them.
        malformed_count: Number of all of them.
        notes: Sentences about what was left out.
        attributes: Attributes that the table gives, by name.
        missing: Sentences about attributes whose column is missing.
    """

    words: Words
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    malformed: list[tuple[int, str]] = field(default_factory=list)
    malformed_count: int = 0
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._split_of: Mapping[str, Split] = {
            **{folded(word): split for word, split in self.words.split_of.items()},
            **self.words.split_of,
        }
        self._same: dict[str, str] = {}
        self.names = (*COLUMNS, *(f"{ATTRIBUTES}{name}" for name in self.attributes))

    def content(self) -> TableContent:
        """Return the rows and what is wrong with the others."""
        return TableContent(
            self.rows,
            tuple(self.malformed),
            tuple(self.notes),
            None,
            self.malformed_count,
            tuple(self.missing),
        )

    def add(self, cells: Cells, number: int, place: str = "", split: Split | None = None) -> None:
        """Add a row, or the reason why it cannot be used.

        Args:
            cells: Text of each column of `names`, without space around.
            number: Number of the row.
            place: Start of the reason, if the file has several lists.
            split: Split of a row that does not give it.
        """
        found, reason = self.row(cells, number, split)
        if reason:
            self.refuse(number, f"{place}{reason}")
        if found:
            self.append(found)

    def append(self, row: Row) -> None:
        """Add a row.

        Raises:
            TableFaultError: The table has too many rows.
        """
        if len(self.rows) >= MAX_ROWS:
            raise TableFaultError(
                f"The table has more than {MAX_ROWS:,} rows. Split it into several files, and match "
                "them with one pattern."
            )
        self.rows.append(row)

    def refuse(self, number: int, reason: str) -> None:
        """Count a row that cannot be used, and keep the reason of the first ones."""
        self.malformed_count += 1
        if len(self.malformed) < MOST_MALFORMED:
            self.malformed.append((number, reason))

    def miss(self, column: str, problem: str) -> None:
        """Note that a table lacks the column of an attribute; it changes nothing else.

        Raises:
            TableFaultError: The column has another property: without it, labels could be wrong.
        """
        if not column.startswith(ATTRIBUTES):
            raise TableFaultError(problem)
        self.missing.append(f"No image has {column.removeprefix(ATTRIBUTES)}. {problem}")

    def split_of(self, word: str) -> Split | None:
        """Return the split of a word, exactly or else ignoring case; None if it is no such word."""
        word = normalized(word)
        return self._split_of.get(word) or self._split_of.get(folded(word))

    def label_of(self, word: str) -> Label | None:
        """Return the label of a word in any case; None if it is no such word."""
        return self.words.label_of.get(folded(normalized(word)))

    def once(self, text: str) -> str:
        """Return the one object for equal texts in NFC, so that a million rows share it."""
        return self._same.setdefault(text, normalized(text))

    def row(
        self, cells: Cells, number: int, split: Split | None = None
    ) -> tuple[Row | None, str | None]:
        """Return the row of these cells, and the reason why they cannot be used, or not in full."""
        if _NO_TEXT.search("".join(filter(None, cells[: len(COLUMNS)]))):
            for column, cell in zip(COLUMNS, cells, strict=False):
                if cell is not None and (reason := why_no_text(column, cell)):
                    return None, reason
        image, category, split_word, label_word, defect_type, mask, *others = cells
        path = path_below_root(image) if image else ""
        if not path:
            return None, "image is empty"
        reasons = []
        if split_word:
            split = self.split_of(split_word)
            if split is None:
                reasons.append(f"{quoted(split_word)} is no word for a split; add it to words")
        label: Label | None = None
        if label_word:
            label = self.label_of(label_word)
            if label is None:
                reasons.append(
                    f"{quoted(label_word)} is no word for a label; add it to words, or empty the cell"
                )
        if defect_type and label is not None and folded(defect_type) in _NO_TYPES:
            defect_type = None
        if defect_type and not reasons:
            meant = self.label_of(defect_type)
            if label is not None and label != (meant or "anomalous"):
                reasons.append(
                    f"{quoted(label_word or '')} and {quoted(defect_type)} contradict each other"
                )
                label = None
            else:
                label = meant or "anomalous"
            defect_type = UNSPECIFIED if meant else self.once(defect_type)
        if label != "anomalous":
            defect_type = None
        is_unclear = bool(reasons)
        attributes, faults = self._attributes(others)
        reasons += faults
        row = Row(
            path,
            self.once(category) if category else None,
            split,
            label,
            defect_type or None,
            (path_below_root(mask) or None) if mask else None,
            number,
            is_unclear=is_unclear,
            attributes=self.once(attributes) if attributes else None,
        )
        return row, "; ".join(reasons) or None

    def _attributes(self, cells: Iterable[str | None]) -> tuple[str | None, list[str]]:
        """Return attributes as JSON, and why some have no value; they change nothing else in the row."""
        values, faults = {}, []
        for (name, attribute), cell in zip(self.attributes.items(), cells, strict=False):
            if not cell:
                continue
            if reason := why_no_text(name, cell):
                faults.append(reason)
                continue
            try:
                values[name] = typed_value(attribute.type, normalized(cell))
            except ValueError:
                faults.append(f"{name} is {quoted(cell)}, which is no {attribute.type}")
        return as_json(values), faults


def why_no_text(name: str, text: str) -> str | None:
    """Return the reason why a cell is not one line of text; None if it is."""
    found = _NO_TEXT.search(text)
    if found is None:
        return None
    sign = found[0]
    if sign in "\r\n":
        reason = "has a line break; a quotation mark may not be closed"
    elif sign == "\ufffd" or "\ud800" <= sign <= "\udfff":
        reason = "has bytes that are not text; save the file as UTF-8"
    else:
        reason = "has a control character"
    return f"{name} {quoted(text)} {reason}"


def path_below_root(text: str) -> str:
    """Return a path as tables of this project have it: NFC, with `/`, without a leading `./`."""
    path = canonical_path(text)
    while path.startswith("./"):
        path = path[2:]
    return path


def quoted(text: str) -> str:
    """Return a text of a file in quotation marks for a message, cut if it is long."""
    more = "…" if len(text) > _MOST_SHOWN else ""
    # JSON can have halves of UTF-16 characters, which are no valid Unicode.
    valid = text[:_MOST_SHOWN].encode("utf-8", "backslashreplace").decode("utf-8")
    return f'"{shown(valid)}{more}"'


def listed(names: Sequence[str]) -> str:
    """Return names of a file for a message, at most ten of them."""
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(map(quoted, names[:10])) + more


def find_column(name: str, columns: Sequence[str]) -> list[int]:
    """Return the places of a column: named exactly so, else in NFC, else ignoring case and space around."""
    for form in (str, normalized, _loose):
        if places := [place for place, each in enumerate(columns) if form(each) == form(name)]:
            return places
    return []


def no_column(name: str, columns: Sequence[str], key: str = "columns") -> str:
    """Return the error message for a column that a table does not have.

    Args:
        name: The column.
        columns: The columns of the table.
        key: Key of the declaration that names the column.
    """
    by_form = {_loose(each): each for each in columns[:_MOST_COMPARED]}
    similar = get_close_matches(_loose(name), list(by_form), 1)
    meant = f" Did you mean {quoted(by_form[similar[0]])}?" if similar else ""
    return (
        f"No column {quoted(name)}.{meant} The columns are {listed(columns)}. Correct `{key}`, or "
        "remove the key."
    )


def key_of(column: str) -> str:
    """Return the key of a declaration that names the column of a property of an image."""
    return "attributes" if column.startswith(ATTRIBUTES) else "columns"


def _loose(name: str) -> str:
    return folded(normalized(name).strip())
