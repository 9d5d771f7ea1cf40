"""Keep contact sheets on disk, and redraw them only when their inputs change.

Once all sheets are written, a digest of the inputs is stored beside them, in `drawn.json`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from anomaly_assets.atomic import sync_tree, write_file
from anomaly_assets.previews import sheets

_DRAWING = 2
"""Version of the drawing code. Raise it when sheets look different: those on disk are then redrawn."""


@dataclass(frozen=True)
class ContactSheets:
    """Sheets of all source datasets.

    Attributes:
        small: Source dataset to its overview as WebP, for the UI; none for one without samples.
        files: The full sheets.
        images: Number of pictures on the sheets of the categories.
        drawn: False if the files on disk were up to date.
    """

    small: dict[str, bytes]
    files: list[Path]
    images: int
    drawn: bool


def current_sheets(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    source_datasets: Iterable[str],
    most_bytes: int,
) -> ContactSheets:
    """Redraw the sheets in a folder if the tables have changed, and return them.

    Args:
        connection: A database with `images` and `image_tensors`.
        folder: Folder of the sheets.
        source_datasets: Names of the source datasets to draw.
        most_bytes: Limit for all small sheets together.
    """
    names = list(source_datasets)
    keys = {name: sheets.picked_keys(connection, name, *_PICKED) for name in names}
    images = sum(map(len, keys.values()))
    digest = hashlib.sha256(json.dumps([_DRAWING, most_bytes, keys]).encode()).hexdigest()
    kept = _kept(folder, digest)
    if kept is not None:
        small, files = kept
        return ContactSheets(small, files, images, drawn=False)
    note, older = folder / "drawn.json", _noted_files(folder)
    if older:
        # Keep the list, to delete stale files; drop the digest, so that the run after a kill redraws.
        write_file(note, json.dumps({"files": older}).encode())
    drawn = {
        name: sheets.write_full_sheets(sheets.picked_samples(connection, found), folder, name)
        for name, found in keys.items()
    }
    files = [path for sheet in drawn.values() for path in sheet.files]
    small = sheets.small_sheets({name: sheet.overview for name, sheet in drawn.items()}, most_bytes)
    for name in names:
        (folder / f"{name}.webp").unlink(missing_ok=True)
    for name, content in small.items():
        write_file(folder / f"{name}.webp", content)
    present = [path.relative_to(folder).as_posix() for path in files]
    for path in {*older} - {*present}:  # and no other file: users may store pictures there
        (folder / path).unlink(missing_ok=True)
    if not files:
        note.unlink(missing_ok=True)
    else:
        noted = json.dumps({"digest": digest, "files": present, "small": [*small]})
        # Without this, a power cut could leave the note beside empty sheets, which are never redrawn.
        sync_tree(folder)
        write_file(note, noted.encode())
    return ContactSheets(small, files, images, drawn=True)


_PICKED = (sheets.MOST_PER_KIND, sheets.PER_DEFECT_TYPE)


def _noted_files(folder: Path) -> list[str]:
    """Return the sheets that were drawn here before, as listed in `drawn.json`."""
    try:
        files = json.loads((folder / "drawn.json").read_text("utf-8"))["files"]
        return [
            path for path in files if not Path(path).is_absolute() and ".." not in Path(path).parts
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _kept(folder: Path, digest: str) -> tuple[dict[str, bytes], list[Path]] | None:
    """Return the sheets if they were drawn from the same inputs and all of them still exist."""
    try:
        note = json.loads((folder / "drawn.json").read_text("utf-8"))
        if note["digest"] != digest:
            return None
        files = [folder / path for path in note["files"]]
        small = {name: (folder / f"{name}.webp").read_bytes() for name in note["small"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (small, files) if all(path.exists() for path in files) else None
