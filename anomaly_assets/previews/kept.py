"""Keep contact sheets on disk, and redraw them only when their inputs change.

Once all sheets are written, the digests of their inputs are stored beside them, in `drawn.json`: the
labels, the versions and hashes of the files, and the transform, from which the pixels follow.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from anomaly_assets.atomic import sync_tree, write_file
from anomaly_assets.previews import sheets

_DRAWING = 3
"""Version of the drawing code. Raise it when sheets look different: those on disk are then redrawn."""


@dataclass(frozen=True)
class ContactSheets:
    """Sheets of all source datasets.

    Attributes:
        small: Map of a source dataset to its overview as WebP, for the UI; without datasets that have no
            samples.
        files: The full sheets.
        images: Number of pictures on the sheets of the categories.
        drawn: False if all files on disk were up to date.
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
    """Redraw the sheets in a folder whose pictures or labels have changed, and return all.

    Args:
        connection: A database with `images` and `image_tensors`.
        folder: Folder of the sheets.
        source_datasets: Names of the source datasets to draw.
        most_bytes: Limit for all small sheets together.
    """
    plans = {
        name: sheets.planned(sheets.picked_keys(connection, name, *_PICKED), name)
        for name in source_datasets
    }
    rows = {name: len({key[0] for key in plan.overview}) for name, plan in plans.items()}
    small_bytes = sheets.budgets(rows, most_bytes)
    wanted = {
        path: _digest(inputs)
        for name in small_bytes
        for path, inputs in _inputs(plans[name], name, small_bytes[name])
    }
    note, noted = folder / "drawn.json", _noted(folder)
    kept = {
        path: digest
        for path, digest in wanted.items()
        if noted.get(path) == digest and (folder / path).exists()
    }
    if kept != noted or kept != wanted:
        if noted:
            # Keep the names, to delete stale files, and drop the digests of the sheets that are written
            # now, so that the run after a kill redraws them.
            _write_note(note, {path: kept.get(path, "") for path in noted})
        for name in small_bytes:
            _draw(
                connection,
                folder,
                name,
                plans[name],
                wanted.keys() - kept.keys(),
                small_bytes[name],
            )
        for path in (
            noted.keys() - wanted.keys()
        ):  # and no other file: users may store pictures there
            (folder / path).unlink(missing_ok=True)
        if wanted:
            # Without this, a power cut could leave `drawn.json` beside empty sheets: never redrawn.
            sync_tree(folder)
            _write_note(note, wanted)
        else:
            note.unlink(missing_ok=True)
    return ContactSheets(
        {name: (folder / _small(name)).read_bytes() for name in small_bytes},
        [folder / path for path in wanted if path.endswith(".jpg")],
        sum(len(keys) for plan in plans.values() for keys in plan.categories.values()),
        drawn=kept != wanted,
    )


_PICKED = (sheets.MOST_PER_KIND, sheets.PER_DEFECT_TYPE)


def _small(source_dataset: str) -> str:
    return f"{source_dataset}.webp"


def _inputs(plan: sheets.Plan, name: str, small_bytes: int) -> Iterator[tuple[str, Any]]:
    """Yield the path of each sheet of a source dataset, and everything that it shows."""
    yield from plan.categories.items()
    overview = [plan.overview, plan.left_out]
    yield f"{name}.jpg", overview
    yield _small(name), [*overview, small_bytes]


def _draw(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    name: str,
    plan: sheets.Plan,
    stale: Collection[str],
    small_bytes: int,
) -> None:
    """Draw the stale sheets of a source dataset.

    Memory holds one category at a time, and a few images of the first categories.
    """
    shown: dict[str, sheets.Sample] = {}
    on_overview = {key[3] for key in plan.overview}
    for path, keys in plan.categories.items():
        if path in stale:
            samples = [*sheets.picked_samples(connection, keys)]
            sheets.write_category(samples, folder / path)
            shown |= {
                key[3]: sample
                for key, sample in zip(keys, samples, strict=True)
                if key[3] in on_overview
            }
    if {f"{name}.jpg", _small(name)}.isdisjoint(stale):
        return
    missing = [key for key in plan.overview if key[3] not in shown]
    read = sheets.picked_samples(connection, missing)
    shown |= {key[3]: sample for key, sample in zip(missing, read, strict=True)}
    overview = sheets.Overview([shown[key[3]] for key in plan.overview], plan.left_out)
    sheets.write_overview(overview, folder / f"{name}.jpg")
    write_file(folder / _small(name), sheets.small_sheet(overview, small_bytes))


def _digest(inputs: Any) -> str:
    return hashlib.sha256(json.dumps([_DRAWING, inputs]).encode()).hexdigest()


def _write_note(note: Path, digests: Mapping[str, str]) -> None:
    write_file(note, json.dumps({"sheets": digests}).encode())


def _noted(folder: Path) -> dict[str, str]:
    """Return the sheets that were drawn here before and the digests of their inputs, as in `drawn.json`."""
    try:
        note = json.loads((folder / "drawn.json").read_text("utf-8"))
        if "files" in note:  # written by release 0.1, with one digest for all
            small = [_small(name) for name in note.get("small", ())]
            digests = dict.fromkeys([*note["files"], *small], "")
        else:
            digests = {str(path): str(digest) for path, digest in note["sheets"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {
        path: digest
        for path, digest in digests.items()
        if not Path(path).is_absolute() and ".." not in Path(path).parts
    }
