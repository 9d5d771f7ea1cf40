"""Read correction files: CSV files in which people correct labels, defect types, splits and masks.

    image_id,content_sha256,field,value,reason,by,at
    housing/test/good/7.png,,label,anomalous,"scratch at the rim",ada,2026-11-29T10:00

The value of `mask` is the path of a picture, relative to the folder of the file. The value of `exclude` is
true. A file that cannot be read fails the run, because removed corrections would change labels. A line that
cannot be used becomes a row with its fault.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple, TextIO

import pyarrow as pa

from anomaly_assets.arguments import iso_time
from anomaly_assets.datasets.names import HIDDEN, normalized, shown, spelled
from anomaly_assets.datasets.table_cells import TableFaultError, find_column
from anomaly_assets.datasets.table_csv import open_records
from anomaly_assets.datasets.table_text import TooLargeError, open_text
from anomaly_assets.datasets.words import ANOMALOUS_WORDS, UNKNOWN, UNSPECIFIED, label_meant
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.roots.base import FileUnreadableError, Root, RootError
from anomaly_assets.roots.open import open_root
from anomaly_assets.tables.arrow import arrow_schema
from anomaly_assets.tables.corrections import version_of_mask
from anomaly_assets.tables.registry import TABLES

COLUMNS = ("image_id", "content_sha256", "field", "value", "reason", "by", "at")
"""Columns of a correction file, in the order in which the commands of this project write them."""

MAX_BYTES = 256 * 1024 * 1024
"""Size limit of a correction file."""

_REQUIRED = ("field", "value")
_NAMES = ("image_id", "content_sha256")
_FOR_PEOPLE = ("reason", "by")
_NO_TEXT = re.compile(f"{HIDDEN.pattern}|\ufffd")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    "unassigned": "unassigned",
}
_TRUTH = {
    **dict.fromkeys(("true", "yes", "1"), "true"),
    **dict.fromkeys(("false", "no", "0"), "false"),
}


class CorrectionsError(AnomalyAssetsError, ValueError):
    """A correction file cannot be read, or is not one; no correction was changed."""


class CorrectionLine(NamedTuple):
    """Line of a correction file; `TABLES["correction_lines"]` describes the columns."""

    file: str
    line: int
    image_id: str | None = None
    content_sha256: str | None = None
    field: str | None = None
    value: str | None = None
    reason: str | None = None
    corrected_by: str | None = None
    corrected_at: datetime | None = None
    used_value: str | None = None
    mask_source_uri: str | None = None
    fault: str | None = None


def read_corrections(place: Path) -> list[CorrectionLine]:
    """Read a correction file, or the files `*.csv` of a folder in the order of their names.

    Args:
        place: The file or the folder.

    Raises:
        CorrectionsError: There is no such file, or one cannot be used.
    """
    files = files_in(place) if place.is_dir() else [place]
    if not files:
        raise CorrectionsError(
            f"ANOMALY_CORRECTIONS: the folder {shown(place)} has no CSV file. Is it mounted? "
            "To remove all corrections, put a CSV file there that has only the header."
        )
    return [line for file in files for line in _read(file)]


def files_in(folder: Path) -> list[Path]:
    """Return the correction files of a folder, in the order of their names."""
    return sorted(each for each in folder.iterdir() if each.suffix.lower() == ".csv")


class OpenedFile(NamedTuple):
    """Text of a correction file.

    Attributes:
        separator: Separator of the cells.
        width: Number of columns.
        places: Place of each column of `COLUMNS` that the file has.
        lines: The lines, without the versions of their masks.
    """

    separator: str
    width: int
    places: Mapping[str, int]
    lines: Iterator[CorrectionLine]


def open_lines(text: TextIO, file: str, refuse: Callable[[int, str], None]) -> OpenedFile:
    """Read the header of a correction file, and return its lines as a stream.

    Args:
        text: The file, with line ends as they are.
        file: Its name.
        refuse: Called with the number of a line that cannot be used, and the reason.

    Raises:
        TableFaultError: The file cannot be used; also raised while lines are read.
    """
    opened = open_records(text, COLUMNS, refuse)
    places = _places(opened.names)
    lines = (
        _line(
            file,
            line,
            {name: cell for name, at in places.items() if (cell := normalized(cells[at].strip()))},
        )
        for line, cells in opened.records
    )
    return OpenedFile(opened.separator, len(opened.names), places, lines)


def as_table(lines: Sequence[CorrectionLine]) -> pa.Table:
    """Return lines as an Arrow table with the columns of `correction_lines` that a file gives."""
    names = CorrectionLine._fields
    others = [name for name in TABLES["correction_lines"].column_names if name not in names]
    schema = arrow_schema(TABLES["correction_lines"], without=others)
    columns = zip(*lines, strict=True) if lines else [()] * len(names)
    return pa.table(dict(zip(names, map(list, columns), strict=True)), schema=schema)


def _read(file: Path) -> Iterator[CorrectionLine]:
    refused: list[CorrectionLine] = []

    def refuse(line: int, reason: str) -> None:
        refused.append(CorrectionLine(normalized(file.name), line, fault=reason))

    try:
        folder = open_root(str(file.parent))
        with file.open("rb") as content:
            text, _ = open_text(content, MAX_BYTES)
            for line in open_lines(text, normalized(file.name), refuse).lines:
                yield _with_mask(line, folder)
    except (OSError, RootError) as error:
        raise _unusable(
            file, f"{getattr(error, 'strerror', None) or error}. Correct ANOMALY_CORRECTIONS."
        ) from error
    except TooLargeError:
        raise _unusable(file, f"the file is larger than {MAX_BYTES // 2**20} MB.") from None
    except TableFaultError as error:
        raise _unusable(file, str(error)) from None
    yield from refused


def _unusable(file: Path, reason: str) -> CorrectionsError:
    return CorrectionsError(f"The correction file {shown(file)} cannot be used: {reason}")


def _places(names: Sequence[str]) -> dict[str, int]:
    """Return the place of each column in the header.

    Raises:
        TableFaultError: A column is unknown, missing, or there twice.
    """
    places: dict[str, int] = {}
    for column in COLUMNS:
        found = find_column(column, names)
        if len(found) > 1:
            raise TableFaultError(
                f"{len(found)} columns have the name {column}. Remove all but one."
            )
        if found:
            places[column] = found[0]
    unknown = [name for at, name in enumerate(names) if at not in places.values()]
    if unknown:
        raise TableFaultError(
            f"unknown column {', '.join(map(shown, unknown))}. The columns are {', '.join(COLUMNS)}."
        )
    missing = [name for name in _REQUIRED if name not in places]
    if missing or not places.keys() & {*_NAMES}:
        missing += [] if places.keys() & {*_NAMES} else ["image_id or content_sha256"]
        raise TableFaultError(f"the header has no column {', '.join(missing)}.")
    return places


def _line(file: str, line: int, cells: dict[str, str]) -> CorrectionLine:
    """Return the row of a line from its cells that are not empty; the first fault is kept."""
    faults: list[str] = []
    for name in _FOR_PEOPLE:
        if name in cells:
            cells[name] = on_one_line(cells[name])
    if sign := _NO_TEXT.search("".join(cells.values())):
        name = next(name for name, text in cells.items() if sign[0] in text)
        faults.append(f"{name} has {spelled(sign[0])}, which is no text")
    sha256 = cells.get("content_sha256", "").lower() or None
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        faults.append(
            "content_sha256 is not a SHA-256: use the 64 digits of the column content_sha256"
        )
    if sha256 is None and "image_id" not in cells:
        faults.append("the line has neither image_id nor content_sha256")
    field = cells.get("field", "").lower()
    used = None
    if field not in _VALUES:
        faults.append(f"the field is one of {', '.join(_VALUES)}")
    elif "value" not in cells:
        faults.append("the line has no value")
    else:
        used, fault = _VALUES[field](cells["value"])
        faults += [fault] if fault else []
    corrected_at = None
    if "at" in cells:
        try:
            found = iso_time(cells["at"])
            corrected_at = found if found.tzinfo else found.replace(tzinfo=timezone.utc)
        except ValueError:
            faults.append("at is not a time in ISO 8601, such as 2026-11-29T10:00Z")
    return CorrectionLine(
        file,
        line,
        cells.get("image_id"),
        sha256,
        field or None,
        cells.get("value"),
        cells.get("reason"),
        cells.get("by"),
        corrected_at,
        None if faults else used,
        fault=faults[0] if faults else None,
    )


def on_one_line(text: str) -> str:
    """Return a text for people without line breaks, which a cell may have in quotation marks."""
    return " ".join(text.split())


def _with_mask(line: CorrectionLine, folder: Root) -> CorrectionLine:
    """Return a line with the URI and the version of its mask, if it corrects one."""
    if line.field != "mask" or line.used_value is None:
        return line
    try:
        content = folder.read(line.used_value)
    except FileUnreadableError as error:
        return line._replace(used_value=None, fault=f"the mask cannot be read: {shown(error)}")
    return line._replace(
        used_value=version_of_mask(content),
        mask_source_uri=folder.uri_of(line.used_value),
    )


Used = tuple[str | None, str | None]
"""The value in the words of `images`, or why it is impossible."""


def _label(text: str) -> Used:
    label = label_meant(text).lower()
    if label in ("good", "anomalous", UNKNOWN):
        return label, None
    return None, f"{shown(text)} is no label: use good, anomalous or unknown"


def _defect_type(text: str) -> Used:
    if label_meant(text) == "good" or text.lower() == UNKNOWN:
        return None, f"{shown(text)} is no defect type: correct the label instead"
    return (UNSPECIFIED if text.lower() in ANOMALOUS_WORDS else text), None


def _split(text: str) -> Used:
    split = _SPLITS.get(text.lower())
    if split is None:
        return None, f"{shown(text)} is no split: use {', '.join(sorted({*_SPLITS.values()}))}"
    return split, None


def _exclude(text: str) -> Used:
    truth = _TRUTH.get(text.lower())
    return truth, None if truth else f"{shown(text)} is neither true nor false"


def _mask(text: str) -> Used:
    if text.startswith(("/", "\\")) or ":" in text or ".." in text.split("/"):
        return None, f"{shown(text)} is no path below the folder of the file"
    return text, None


_VALUES: Mapping[str, Callable[[str], Used]] = {
    "label": _label,
    "defect_type": _defect_type,
    "split": _split,
    "exclude": _exclude,
    "mask": _mask,
}
"""Fields that can be corrected, with the function that reads their value."""
