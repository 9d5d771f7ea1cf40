"""Bring assignments up to date: in the file, if there is one, and in the warehouse.

The file takes precedence. Lines that only the warehouse has, because a run elsewhere assigned them, are
added to it. Newcomers are assigned, and added to both. Without a file, the warehouse alone has the
assignment. If the options in the file and in the warehouse differ, the assignment in the file replaces the
other one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from anomaly_assets.datasets.names import counted, shown
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
        left_out: Newcomers that no fold has, because they look like images of another split of the source.
        missing: Columns and attributes of the options of which no image has a value any more.
        is_replaced: Whether the file had other options than the assignment of the warehouse.
        by_file: Number of contents whose fold the file changed since the last update.
        path: Its file; None if there is none.
        unwritten: Why the file could not be written; empty if it was, or did not have to be.
    """

    name: str
    plan: Plan
    folds: Mapping[str, int]
    newcomers: int
    bridges: list[Bridge] = field(default_factory=list)
    left_out: list[Bridge] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    is_replaced: bool = False
    by_file: int = 0
    path: Path | None = None
    unwritten: str = ""


def names_of(connection: duckdb.DuckDBPyConnection, folder: Path) -> list[str]:
    """Return the names of all assignments: of the warehouse, and of the files in a folder."""
    return sorted({*stored.stored_names(connection), *assignment_file.names_in(folder)})


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
        AssignmentError: The file cannot be used, the options differ, a new assignment names a column that
            no image has, or there is no such assignment.
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
    known = stored.stored_plan(connection, name)
    of_warehouse = stored.stored_lines(connection, name) if known else {}
    of_file: dict[str, Line] = {}
    is_replaced = False
    if has_file:
        planned, of_file = assignment_file.read(path)
        is_replaced = known not in (None, planned)
        known = planned
    if known is None and plan is None:
        raise AssignmentError(f"There is no assignment {name!r}: give a share, such as --val 0.2.")
    if known is not None and plan is not None and known != plan:
        raise AssignmentError(
            f"The assignment {name} exists, and has the options {known.command_line}. Assigned images "
            "never move: leave the options out to assign newcomers, or choose another name."
        )
    chosen = known or plan
    assert chosen is not None
    lines = {**of_file} if is_replaced else {**of_warehouse, **of_file}
    decoded = stored.decoded_images(connection, chosen)
    images = decoded.images
    if known is None:
        stored.refuse_missing(connection, chosen, decoded.missing)
    if known is None and not images:
        raise AssignmentError(
            f"No image of the splits {', '.join(chosen.taken)} is decoded, so there is nothing to assign. "
            "Run `anomaly-assets materialize`, or name other splits with --from."
        )
    pairs = stored.near_duplicates(connection)
    assigned = assign(chosen, images, lines, pairs, decoded.held_out)
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
        assigned.left_out,
        decoded.missing,
        is_replaced,
        sum(
            content in of_warehouse and of_warehouse[content].fold != line.fold
            for content, line in of_file.items()
        ),
        path if has_file or makes_file else None,
        unwritten,
    )


def warnings_of(updated: Updated) -> Iterator[str]:
    """Yield what people should look at, in sentences."""
    name, path = updated.name, updated.path
    if updated.unwritten:
        yield (
            f"{path} was not written ({updated.unwritten}). The warehouse has its new lines: run "
            f"`anomaly-assets split --name {name}` where the file can be written."
        )
    if updated.is_replaced:
        yield (
            f"{path} has other options ({updated.plan.command_line}) than the assignment {name} of the "
            "warehouse, and has replaced it. Copies of the file must be of one `anomaly-assets split`."
        )
    if updated.by_file:
        yield (
            f"{path} moved {counted(updated.by_file, 'content')} of the assignment {name} to another fold. "
            "If nobody edited it on purpose, take an earlier version of it."
        )
    for column in updated.missing:
        yield (
            f"{name}: no image has a value of {shown(column)} any more, which the option "
            f"{updated.plan.columns[column]} names. Assigned images keep their fold; "
            f"{_newcomers(updated.newcomers, 'was', 'were')} assigned without it."
        )
    if updated.left_out:
        first, count = updated.left_out[0], len(updated.left_out)
        looks = "looks like an image" if count == 1 else "look like images"
        yield (
            f"{name}: {_newcomers(count, looks, looks)} of a split that is not assigned, and no fold has "
            f"{'it' if count == 1 else 'them'}. {_first(count)}{shown(first.image_id)}, a near duplicate "
            f"of {shown(first.other_id)} in {first.other_fold}."
        )
    if updated.bridges:
        first, count = updated.bridges[0], len(updated.bridges)
        other = shown(first.other_id)
        which = (
            f"{other}, of its group," if first.reason == GROUP else f"its near duplicate {other}"
        )
        yield (
            f"{name}: {_newcomers(count, 'belongs', 'belong')} to two folds. {_first(count)}"
            f"{shown(first.image_id)} is in {first.fold}, and {which} in {first.other_fold}."
        )


def _newcomers(count: int, one: str, several: str) -> str:
    return f"{counted(count, 'newcomer')} {one if count == 1 else several}"


def _first(count: int) -> str:
    return "" if count == 1 else "The first: "


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
