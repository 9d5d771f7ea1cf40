"""Add lines to files of corrections, and remove the lines that they replace."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from anomaly_assets.atomic import replaced_file
from anomaly_assets.curation.correction_files import COLUMNS
from anomaly_assets.datasets.text import decode_text
from anomaly_assets.export.errors import ExportError

_SEPARATORS = ",;\t|"


@dataclass(frozen=True)
class Line:
    """Line of a file of corrections; its attributes are the columns `COLUMNS`.

    Attributes:
        image_id: The image.
        content_sha256: Content of the image that the correction is for.
        field: `label`, `defect_type`, `split`, `exclude` or `mask`.
        value: The corrected value; of a mask, the path of a picture, relative to the file.
        reason: Reason of the correction.
        by: Author of the correction.
        at: Time of the correction, in ISO 8601.
    """

    image_id: str
    content_sha256: str
    field: str
    value: str
    reason: str = ""
    by: str = ""
    at: str = ""

    def replaces(self, other: Line) -> bool:
        """Return whether both correct one field of one image, in the same content."""
        same_content = other.content_sha256 in ("", self.content_sha256)
        same_image = other.image_id == self.image_id or (
            not other.image_id and bool(other.content_sha256)
        )
        return self.field == other.field and same_content and same_image


@dataclass(frozen=True)
class Edit:
    """Change of one file.

    Attributes:
        path: The file.
        before: Its text; empty for a new file.
        after: Its new text.
        encoding: Encoding of the file.
        mark: Byte order mark at its start.
    """

    path: Path
    before: str
    after: str
    encoding: str
    mark: bytes

    def diff(self) -> str:
        """Return the change as a unified diff."""
        name = self.path.as_posix()
        before, after = (text.splitlines(keepends=True) for text in (self.before, self.after))
        found = difflib.unified_diff(before, after, name if before else "/dev/null", name)
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in found)

    def write(self) -> None:
        """Replace the file.

        Raises:
            OSError: The file cannot be written; it is unchanged.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replaced_file(self.path) as unfinished:
            unfinished.write_bytes(self.mark + self.after.encode(self.encoding))


def edits(target: Path, lines: Sequence[Line], others: Sequence[Path] = ()) -> list[Edit]:
    """Return the changes that add lines to a file of corrections.

    A line that corrects the same field of the same image is removed, because two of them are a conflict.
    A line that is there already is not added again.

    Args:
        target: File that gets the lines; it may not exist yet.
        lines: The lines.
        others: Further files of corrections that are in use.

    Raises:
        ExportError: A file is no file of corrections.
    """
    added = list(lines)
    found = []
    # One file may be spelled in two ways; as two files, the second would be written over the first.
    others = [path for path in dict.fromkeys(others) if path.resolve() != target.resolve()]
    for path in (target, *others):
        content = path.read_bytes() if path.exists() else b""
        decoded = decode_text(content)
        if not decoded.is_clean:
            raise ExportError(f"{path} is not text in a Unicode encoding. Save it as UTF-8.")
        kept = []
        for line, text in _lines(path, decoded.text):
            if line is not None and any(_is_same(line, new) for new in lines):
                added = [new for new in added if not _is_same(line, new)]
            elif line is not None and any(new.replaces(line) for new in lines):
                continue
            kept.append(text)
        found.append((path, decoded, "".join(kept)))
    return [
        Edit(path, decoded.text, after, decoded.encoding, decoded.mark)
        for path, decoded, kept_text in found
        for after in [_with(kept_text, added) if path == target else kept_text]
        if after != decoded.text
    ]


def _is_same(line: Line, new: Line) -> bool:
    return astuple(line)[:4] == astuple(new)[:4]


def _lines(path: Path, text: str) -> Iterator[tuple[Line | None, str]]:
    """Yield each record with its text; None for the header and blank lines."""
    rows = text.splitlines(keepends=True)
    if not rows:
        return
    reader = csv.reader(rows, delimiter=_separator(text))
    start = 0
    names: list[str] = []
    for record in reader:
        end = reader.line_num
        if not names and any(record):
            names = [name.strip() for name in record]
            if not {"field", "value"} <= {*names} <= {*COLUMNS}:
                raise ExportError(
                    f"{path} is no file of corrections: its columns are {', '.join(names)}, and they can "
                    f"be {', '.join(COLUMNS)}."
                )
            yield None, "".join(rows[start:end])
        else:
            values = dict(zip(names, map(str.strip, record), strict=False))
            line = Line(**{name: values.get(name, "") for name in COLUMNS}) if any(record) else None
            yield line, "".join(rows[start:end])
        start = end


def _separator(text: str) -> str:
    header = text.partition("\n")[0]
    return max(_SEPARATORS, key=header.count)


def _with(text: str, lines: Sequence[Line]) -> str:
    """Return a text with further lines, in its own columns, separator and line ends."""
    if not lines:
        return text
    text = text or ",".join(COLUMNS) + "\n"
    end = "\r\n" if "\r\n" in text else "\n"
    separator = _separator(text)
    names: Sequence[str] = [
        name.strip() for name in next(csv.reader(io.StringIO(text), delimiter=separator))
    ]
    if missing := [name for name in ("image_id", "content_sha256") if name not in names]:
        raise ExportError(
            f"The file of corrections has no column {' and '.join(missing)}. Add it to the header."
        )
    written = io.StringIO()
    writer = csv.DictWriter(
        written, names, delimiter=separator, lineterminator=end, extrasaction="ignore"
    )
    writer.writerows(_cells(line) for line in lines)
    return text + ("" if text.endswith("\n") else end) + written.getvalue()


def _cells(line: Line) -> Mapping[str, str]:
    return {name: " ".join(getattr(line, name).split()) for name in COLUMNS}
