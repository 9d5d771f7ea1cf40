"""Read and write the file of an assignment, such as `splits/v1.csv`: text for version control.

    # anomaly-assets split {"seed": 0, "val": 0.2}
    content_sha256,fold,unit,decided_by,group,image_id
    02f5…,train,,hash,,mvtec_ad/bolt/train/good/000.png

The first line has the options. The others are sorted by content, so newcomers add lines and change none,
and a merge of two branches keeps the lines of both. An empty unit is that of the content.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable
from pathlib import Path

from anomaly_assets.atomic import replaced_file
from anomaly_assets.datasets.names import shown
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.splitting.contents import LEFT_OUT, SOURCE, Line
from anomaly_assets.splitting.plan import Plan, PlanError

COLUMNS = ("content_sha256", "fold", "unit", "decided_by", "group", "image_id")

_HEAD = "# anomaly-assets split "
_BOM = "\ufeff".encode()
_SPECIAL = re.compile(r'[,"\r\n]')
_CONTENT = re.compile(r"[0-9a-f]{64}")


class AssignmentError(AnomalyAssetsError, ValueError):
    """An assignment cannot be made, or its file cannot be used; the message names the line."""


def path_of(folder: Path, name: str) -> Path:
    """Return the path of the file of an assignment."""
    return folder / f"{name}.csv"


def names_in(folder: Path) -> list[str]:
    """Return the names of the assignments that have a file in a folder; none if it does not exist.

    Other CSV files are ignored, because `splits` is a common name of a folder.
    """
    return sorted(path.stem for path in folder.glob("*.csv") if _is_assignment(path))


def _is_assignment(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_BOM) + len(_HEAD)).removeprefix(_BOM).startswith(_HEAD.encode())
    except OSError:
        return False


def text_of(plan: Plan, lines: Iterable[Line]) -> str:
    """Return the content of a file."""
    rows = [_HEAD + json.dumps(plan.options()), ",".join(COLUMNS)]
    for line in sorted(lines, key=lambda line: line.content):
        unit = "" if line.unit == line.content else line.unit
        values = line.content, line.fold, unit, line.decided_by, line.group, line.image_id
        rows.append(",".join(map(_quoted, values)))
    return "\n".join([*rows, ""])


def _quoted(value: str) -> str:
    # `csv` does not quote a carriage return before Python 3.13, and then cannot read it.
    return '"' + value.replace('"', '""') + '"' if _SPECIAL.search(value) else value


def write(path: Path, plan: Plan, lines: Iterable[Line]) -> None:
    """Write a file atomically; create its folder if it is missing.

    Raises:
        OSError: The file cannot be written; the old one is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(path) as unfinished:
        unfinished.write_text(text_of(plan, lines), "utf-8", newline="")


def read(path: Path) -> tuple[Plan, dict[str, Line]]:
    """Return the options and the lines of a file, by content.

    Raises:
        AssignmentError: The file cannot be read, or a line of it cannot be used.
    """
    try:
        return parsed(path.read_bytes().decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise AssignmentError(f"{path} cannot be read: {error}.") from error
    except ValueError as error:
        raise AssignmentError(
            f"{path}, {error} Correct the file, or take an earlier version of it."
        ) from None


def parsed(text: str) -> tuple[Plan, dict[str, Line]]:
    """Return the options and the lines of the content of a file.

    Raises:
        ValueError: A line cannot be used; the message begins with its number.
    """
    head, _, rest = text.partition("\n")  # on Windows, Git may have written \r\n
    head = head.rstrip("\r")
    if not head.startswith(_HEAD):
        raise ValueError(f"line 1: it does not begin with {_HEAD.strip()!r}.")
    try:
        plan = Plan.of(json.loads(head.removeprefix(_HEAD)))
    except (PlanError, ValueError, AttributeError) as error:
        raise ValueError(f"line 1: its options cannot be used: {error}") from None
    rows = csv.reader(io.StringIO(rest, newline=""))
    if tuple(next(rows, ())) != COLUMNS:
        raise ValueError(f"line 2: the columns are not {','.join(COLUMNS)}.")
    lines: dict[str, Line] = {}
    numbers: dict[str, int] = {}
    for row in rows:
        number = rows.line_num + 1
        if not row:
            continue
        if len(row) != len(COLUMNS) or not _CONTENT.fullmatch(row[0]):
            raise ValueError(
                f"line {number}: {shown(','.join(row)[:80])} is not a line of {len(COLUMNS)} values that "
                "begins with a SHA-256."
            )
        line = Line(row[0], row[1], row[2] or row[0], *row[3:])
        if line.fold not in (*plan.shares, LEFT_OUT) and line.decided_by != SOURCE:
            raise ValueError(
                f"line {number}: the options have no fold {shown(line.fold)}, but "
                f"{', '.join(plan.shares)}, and {LEFT_OUT} for an image that no fold has."
            )
        earlier = lines.setdefault(line.content, line)
        above = numbers.setdefault(line.content, number)
        if earlier.fold != line.fold:
            raise ValueError(
                f"line {number}: {line.content} is in the fold {line.fold}, and in line {above} in "
                f"{earlier.fold}."
            )
    return plan, lines
