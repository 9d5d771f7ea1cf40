"""Contact sheets on disk: drawn again only when something on them is another.

What they were drawn from is noted beside them, in `drawn.json`, once all of them are written.
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
"""To be raised with any change to how sheets look: what lies on disk is then drawn again."""


@dataclass(frozen=True)
class ContactSheets:
    """The sheets of all source datasets.

    Attributes:
        small: Source dataset to its overview as WebP, for the UI; one without samples has none.
        files: The full sheets.
        images: Number of pictures on the sheets of the categories.
        drawn: False where they lay there already.
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
    """Make the sheets in a folder show what the tables hold.

    Args:
        connection: A database with `images` and `image_tensors`.
        folder: Where the sheets lie.
        source_datasets: Which ones to draw.
        most_bytes: Of all small sheets together.
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
    if older:  # the list stays, without a digest that could be found again
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
    lying = [path.relative_to(folder).as_posix() for path in files]
    for path in {*older} - {*lying}:  # and nothing else: somebody may keep pictures there
        (folder / path).unlink(missing_ok=True)
    if not files:
        note.unlink(missing_ok=True)
    else:
        noted = json.dumps({"digest": digest, "files": lying, "small": [*small]})
        # Else a power cut could leave the note, and sheets that are empty and never drawn again.
        sync_tree(folder)
        write_file(note, noted.encode())
    return ContactSheets(small, files, images, drawn=True)


_PICKED = (sheets.MOST_PER_KIND, sheets.PER_DEFECT_TYPE)


def _noted_files(folder: Path) -> list[str]:
    """Return the sheets that were drawn here before, as far as they are noted."""
    try:
        files = json.loads((folder / "drawn.json").read_text("utf-8"))["files"]
        return [
            path for path in files if not Path(path).is_absolute() and ".." not in Path(path).parts
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _kept(folder: Path, digest: str) -> tuple[dict[str, bytes], list[Path]] | None:
    """The sheets that were drawn from the same, if all of them still lie there."""
    try:
        note = json.loads((folder / "drawn.json").read_text("utf-8"))
        if note["digest"] != digest:
            return None
        files = [folder / path for path in note["files"]]
        small = {name: (folder / f"{name}.webp").read_bytes() for name in note["small"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (small, files) if all(path.exists() for path in files) else None
