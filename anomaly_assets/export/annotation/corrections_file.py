"""Add lines to files of corrections, and remove the lines that they replace."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from anomaly_assets.atomic import replaced_file
from anomaly_assets.curation.correction_files import (
    COLUMNS,
    CorrectionLine,
    OpenedFile,
    on_one_line,
    open_lines,
)
from anomaly_assets.datasets.table_cells import TableFaultError
from anomaly_assets.datasets.text import DecodedText, decode_text
from anomaly_assets.export.errors import ExportError


@dataclass(frozen=True)
class Line:
    """Line of a file of corrections; its attributes are the columns `COLUMNS`.

    Attributes:
        image_id: The image; empty for all images with the content.
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

    def is_in(self, old: CorrectionLine) -> bool:
        """Return whether an existing line gives the same value to the same images."""
        return (self.image_id or None, *self._what, self.value) == (
            *(old.image_id, old.content_sha256, old.field, old.value),
        )

    def replaces(self, old: CorrectionLine) -> bool:
        """Return whether an existing line gives another value to one of the same images."""
        if old.content_sha256 is None:
            return (old.image_id, old.field) == (self.image_id, self.field)
        is_same_image = not self.image_id or old.image_id in (None, self.image_id)
        return (
            is_same_image
            and (old.content_sha256, old.field) == self._what
            and old.value != self.value
        )

    @property
    def _what(self) -> tuple[str, str]:
        return self.content_sha256, self.field


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
        before, after = map(_rows, (self.before, self.after))
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


@dataclass(frozen=True)
class _File:
    """Text of a correction file, cut into its lines.

    Attributes:
        path: The file.
        decoded: Its text.
        opened: Its columns; None for an empty file.
        parts: The lines with their text; None for the header, blank lines, and lines that are no table.
    """

    path: Path
    decoded: DecodedText
    opened: OpenedFile | None
    parts: Sequence[tuple[CorrectionLine | None, str]]


def edits(target: Path, lines: Sequence[Line], others: Sequence[Path] = ()) -> list[Edit]:
    """Return the changes that add lines to a file of corrections.

    A line that gives another value to the same field of the same image is removed, because two of them are
    a conflict. A line that is for all images with a content is replaced by one that is for all of them too.
    A line that is there already is not added again.

    Args:
        target: File that gets the lines; it may not exist yet.
        lines: The lines.
        others: Further files of corrections that are in use.

    Raises:
        ExportError: A file is no file of corrections, or lines of images with one content contradict each
            other.
    """
    # One file may be spelled in two ways; as two files, the second would be written over the first.
    others = [path for path in dict.fromkeys(others) if path.resolve() != target.resolve()]
    files = [_opened(path) for path in (target, *others)]
    old = [line for file in files for line, _ in file.parts if line is not None]
    for_all = {(line.content_sha256, line.field) for line in old if line.image_id is None}
    wanted = _for_all_images(lines, for_all)
    added = [new for new in wanted if not any(map(new.is_in, old))]
    found = []
    for file in files:
        kept = "".join(
            text
            for line, text in file.parts
            if line is None or not any(new.replaces(line) for new in (*lines, *wanted))
        )
        after = _with(file, kept, added) if file.path == target else kept
        if after != file.decoded.text:
            decoded = file.decoded
            found.append(Edit(file.path, decoded.text, after, decoded.encoding, decoded.mark))
    return found


def _for_all_images(
    lines: Sequence[Line], contents: set[tuple[str | None, str | None]]
) -> list[Line]:
    """Return lines, those of some contents and fields without image: they replace lines for all images.

    Raises:
        ExportError: Lines of one such content have different values.
    """
    found: dict[tuple[str, str, str], Line] = {}
    for line in lines:
        if (line.content_sha256, line.field) not in contents:
            found[line.image_id, line.content_sha256, line.field] = line
            continue
        first = found.setdefault(("", line.content_sha256, line.field), replace(line, image_id=""))
        if first.value != line.value:
            raise ExportError(
                f"{line.image_id} and another image have the content {line.content_sha256}, and a line of "
                f"the corrections gives its {line.field} for all of them. Now they have the answers "
                f"{first.value} and {line.value}. Give them one answer in the tool, or remove that line."
            )
    return list(found.values())


def _rows(text: str) -> list[str]:
    """Split a text at its line ends alone; `splitlines` also splits at characters within a cell."""
    return list(io.StringIO(text, newline=""))


def _opened(path: Path) -> _File:
    content = path.read_bytes() if path.exists() else b""
    decoded = decode_text(content)
    if not decoded.is_clean:
        raise ExportError(f"{path} is not text in a Unicode encoding. Save it as UTF-8.")
    if not decoded.text.strip():
        return _File(path, decoded, None, ())
    found: dict[int, CorrectionLine | None] = {}
    try:
        opened = open_lines(
            io.StringIO(decoded.text, newline=""),
            path.name,
            lambda number, _: found.update({number: None}),
        )
        found.update({line.line: line for line in opened.lines})
    except TableFaultError as error:
        raise ExportError(f"The correction file {path} cannot be used: {error}") from None
    rows = _rows(decoded.text)
    starts = [*sorted(found), len(rows) + 1]
    parts: list[tuple[CorrectionLine | None, str]] = [(None, "".join(rows[: starts[0] - 1]))]
    for start, end in pairwise(starts):
        of_line = rows[start - 1 : end - 1]
        blank = 0
        while not of_line[len(of_line) - blank - 1].strip():
            blank += 1
        cut = len(of_line) - blank
        parts.append((found[start], "".join(of_line[:cut])))
        parts.append((None, "".join(of_line[cut:])))
    return _File(path, decoded, opened, parts)


def _with(file: _File, text: str, lines: Sequence[Line]) -> str:
    """Return the text of a file with further lines, in its own columns, separator and line ends."""
    if not lines:
        return text
    opened = file.opened
    if opened is None:
        text = ",".join(COLUMNS) + "\n"
        opened = OpenedFile(
            ",", len(COLUMNS), {name: at for at, name in enumerate(COLUMNS)}, iter(())
        )
    if missing := [name for name in ("image_id", "content_sha256") if name not in opened.places]:
        raise ExportError(
            f"The file of corrections has no column {' and '.join(missing)}. Add it to the header."
        )
    first = _rows(text)[0]
    end = first[len(first.rstrip("\r\n")) :] or "\n"
    written = io.StringIO()
    writer = csv.writer(written, delimiter=opened.separator, lineterminator=end)
    for line in lines:
        cells = [""] * opened.width
        for name, value in _cells(line).items():
            if name in opened.places:
                cells[opened.places[name]] = value
        writer.writerow(cells)
    return text + ("" if text.endswith(("\n", "\r")) else end) + written.getvalue()


def _cells(line: Line) -> Mapping[str, str]:
    return {**vars(line), "reason": on_one_line(line.reason), "by": on_one_line(line.by)}
