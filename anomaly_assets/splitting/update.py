"""Bring assignments up to date: in the file, if there is one, and in the warehouse.

The file decides. Lines that only the warehouse has, because a run elsewhere assigned them, are added to it.
Newcomers are assigned, and added to both. An assignment without a file goes on in the warehouse alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from anomaly_assets.datasets.names import shown
from anomaly_assets.splitting import assignment_file, stored
from anomaly_assets.splitting.assign import assign
from anomaly_assets.splitting.assignment_file import AssignmentError
from anomaly_assets.splitting.contents import GROUP, Bridge, Line
from anomaly_assets.splitting.plan import Plan, PlanError, refuse_bad_name
from anomaly_assets.tables.ddl import refuse_missing_tables


@dataclass(frozen=True)
class Updated:
    """Assignment that is up to date.

    Attributes:
        name: Its name.
        plan: Its options.
        folds: Number of existing images in each fold; without those of splits that the plan does not take.
        newcomers: Number of contents that were assigned now.
        bridges: Ties between two folds that newcomers have.
        by_file: Number of contents whose fold the file changed since the last update.
        path: Its file; None if there is none.
        unwritten: Why the file could not be written; empty if it was, or did not have to be.
    """

    name: str
    plan: Plan
    folds: Mapping[str, int]
    newcomers: int
    bridges: list[Bridge] = field(default_factory=list)
    by_file: int = 0
    path: Path | None = None
    unwritten: str = ""


def names_of(connection: duckdb.DuckDBPyConnection, folder: Path) -> list[str]:
    """Return the names of all assignments: of the warehouse, and of the files in a folder."""
    return sorted({*stored.stored_plans(connection), *assignment_file.names_in(folder)})


def update(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    name: str,
    plan: Plan | None = None,
    *,
    makes_file: bool = False,
) -> Updated:
    """Assign the newcomers of an assignment, or make a new one.

    The caller must hold the write lock of the warehouse.

    Args:
        connection: The warehouse, after `ensure_tables`.
        folder: Folder of the files.
        name: Name of the assignment.
        plan: Options of a new assignment; they must equal those of an existing one.
        makes_file: Write the file if it is missing, and raise an error if it cannot be written.

    Raises:
        AssignmentError: The file cannot be used, the options differ, or there is no such assignment.
        OSError: The file cannot be written.
        WarehouseError: No image was loaded yet.
    """
    try:
        refuse_bad_name(name)
    except PlanError as error:
        raise AssignmentError(str(error)) from None
    refuse_missing_tables(connection, "effective_images")
    path = assignment_file.path_of(folder, name)
    has_file = path.exists()
    known = stored.stored_plans(connection).get(name)
    of_warehouse = stored.stored_lines(connection, name) if known else {}
    of_file: dict[str, Line] = {}
    if has_file:
        known, of_file = assignment_file.read(path)
    if known is None and plan is None:
        raise AssignmentError(f"There is no assignment {name!r}: give a share, such as --val 0.2.")
    if known is not None and plan is not None and known != plan:
        raise AssignmentError(
            f"The assignment {name} exists, and has the options {json.dumps(known.options())}. Assigned "
            "images never move: leave the options out to assign newcomers, or choose another name."
        )
    chosen = known or plan
    assert chosen is not None
    lines = {**of_warehouse, **of_file}
    images, held_out = stored.decoded_images(connection, chosen)
    if known is None and not images:
        raise AssignmentError(
            f"No image of the splits {', '.join(chosen.taken)} is decoded, so there is nothing to assign. "
            "Run `anomaly-assets materialize`, or name other splits with --from."
        )
    pairs = stored.near_duplicates(connection)
    assigned = assign(chosen, images, lines, pairs, held_out)
    lines |= assigned.lines
    unwritten = ""
    if lines != of_file if has_file else makes_file:
        try:
            assignment_file.write(path, chosen, lines.values())
        except OSError as error:
            if makes_file:
                raise
            unwritten = str(error)
    stored.store(connection, name, chosen, of_warehouse, lines)
    return Updated(
        name,
        chosen,
        Counter(lines[image.content].fold for image in images),
        len(assigned.lines),
        assigned.bridges,
        sum(
            content in of_warehouse and of_warehouse[content].fold != line.fold
            for content, line in of_file.items()
        ),
        path if has_file or makes_file else None,
        unwritten,
    )


def bridges_sentence(updated: Updated) -> str:
    """Return how many newcomers belong to two folds, and the first of them."""
    first, count = updated.bridges[0], len(updated.bridges)
    other = shown(first.other_id)
    which = f"{other}, of its group," if first.reason == GROUP else f"its near duplicate {other}"
    return (
        f"{updated.name}: {count} {'newcomer belongs' if count == 1 else 'newcomers belong'} to two folds. "
        f"The first: {shown(first.image_id)} is in {first.fold}, and {which} in {first.other_fold}."
    )


def remove(connection: duckdb.DuckDBPyConnection, folder: Path, name: str) -> int:
    """Remove an assignment from the warehouse, and delete its file.

    Returns:
        Number of contents that were assigned.

    Raises:
        AssignmentError: There is no such assignment.
        OSError: The file cannot be deleted.
    """
    found = names_of(connection, folder)
    if name not in found:
        raise AssignmentError(
            f"There is no assignment {name!r}. Existing assignments: {', '.join(found) or 'none'}."
        )
    if name in assignment_file.names_in(folder):  # another file of this name is not ours
        assignment_file.path_of(folder, name).unlink()
    return stored.remove(connection, name)
