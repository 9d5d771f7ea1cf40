"""Read images, near duplicates and assignments from the warehouse, and write assignments to it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

import duckdb

from anomaly_assets.splitting.assignment_file import AssignmentError
from anomaly_assets.splitting.contents import Image, Line, NearDuplicate
from anomaly_assets.splitting.plan import HELD_OUT, Plan
from anomaly_assets.tables.sql_text import column_names, sql_literal

if TYPE_CHECKING:
    import pyarrow as pa

_LINES = "content_sha256, fold, unit, decided_by, group_value, image_id"
"""Columns of `assigned_contents`, in the order of the fields of `Line`."""


def stored_plans(connection: duckdb.DuckDBPyConnection) -> dict[str, Plan]:
    """Return the options of all assignments of the warehouse, by name."""
    found = connection.execute("SELECT assignment, options FROM assignments ORDER BY ALL")
    return {name: Plan.of(json.loads(options)) for name, options in found.fetchall()}


def stored_lines(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, Line]:
    """Return the lines of an assignment of the warehouse, by content."""
    found = connection.execute(
        f"SELECT {_LINES} FROM assigned_contents WHERE assignment = ?",  # noqa: S608
        [name],
    ).fetchall()
    return {row[0]: Line(*row) for row in found}


def store(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    plan: Plan,
    before: Mapping[str, Line],
    after: Mapping[str, Line],
) -> None:
    """Write an assignment; only changed lines are written.

    Args:
        connection: The warehouse.
        name: Name of the assignment.
        plan: Its options.
        before: Lines that the warehouse has.
        after: Lines that it will have.
    """
    options = json.dumps(plan.options())
    row = {"name": name, "options": options, "taken": [*plan.taken]}
    is_stored = connection.execute(
        "SELECT 1 FROM assignments WHERE assignment = $name AND options = $options",
        {"name": name, "options": options},
    ).fetchall()
    gone = [content for content, line in before.items() if after.get(content) != line]
    new = [line for content, line in after.items() if before.get(content) != line]
    if is_stored and not gone and not new:
        return
    connection.begin()
    if not is_stored:
        connection.execute("DELETE FROM assignments WHERE assignment = ?", [name])
        connection.execute("INSERT INTO assignments VALUES ($name, $options, $taken)", row)
    if gone:
        connection.execute(
            "DELETE FROM assigned_contents WHERE assignment = ? "
            "AND content_sha256 IN (SELECT unnest(?::VARCHAR[]))",
            [name, gone],
        )
    if new:
        connection.register("new_lines", _arrow(new))
        connection.execute(
            f"INSERT INTO assigned_contents BY NAME SELECT ? AS assignment, {_LINES} FROM new_lines "  # noqa: S608
            "ORDER BY content_sha256",
            [name],
        )
        connection.unregister("new_lines")
    connection.commit()


def remove(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    """Remove an assignment from the warehouse; return the number of its lines."""
    [(lines,)] = connection.execute(
        "SELECT count(*) FROM assigned_contents WHERE assignment = ?", [name]
    ).fetchall()
    connection.begin()
    for table in ("assigned_contents", "assignments"):
        connection.execute(f"DELETE FROM {table} WHERE assignment = ?", [name])  # noqa: S608
    connection.commit()
    return int(lines)


def _arrow(lines: Sequence[Line]) -> pa.Table:
    import pyarrow as pa  # which the definitions do not need

    columns = zip(_LINES.split(", "), fields(Line), strict=True)
    return pa.table(
        {
            column: pa.array((getattr(line, field.name) for line in lines), pa.string())
            for column, field in columns
        }
    )


def decoded_images(
    connection: duckdb.DuckDBPyConnection, plan: Plan
) -> tuple[list[Image], dict[str, str]]:
    """Return the images that a plan takes, and the contents with a copy in another split.

    Args:
        connection: The warehouse.
        plan: Options of the assignment.

    Returns:
        The images, and the fold of each of these contents.

    Raises:
        AssignmentError: No image has a column or attribute that the plan names.
    """
    names = [*plan.by, *([plan.group] if plan.group else [])]
    columns = column_names(connection, "effective_images") or set()
    values = "".join(f", {_value(name, columns)}" for name in names)
    rows = connection.execute(
        f"""
        SELECT images.image_id, facts.content_sha256, images.source_dataset, images.split{values}
        FROM effective_images AS images
        JOIN facts ON facts.image_id = images.image_id
        ORDER BY images.image_id
        """  # noqa: S608
    ).fetchall()
    for place, name in enumerate(names, 4):
        if rows and all(row[place] is None for row in rows):
            raise _unknown(name)
    images = []
    held_out: dict[str, str] = {}
    for image_id, content, source_dataset, split, *found in rows:
        if split in plan.taken:
            stratum = tuple(value or "" for value in found[: len(plan.by)])
            grouped = plan.group is not None and found[-1] is not None
            group = f"{source_dataset}/{found[-1]}" if grouped else ""
            images.append(Image(image_id, content, stratum, group))
        elif split in HELD_OUT:
            held_out.setdefault(content, HELD_OUT[split])
    return images, held_out


def _value(name: str, columns: Collection[str]) -> str:
    """Return a SQL expression for the value of a column or attribute of an image, as text."""
    if name in columns:
        return f'images."{name}"::VARCHAR'
    if "attributes" not in columns or '"' in name:
        raise _unknown(name)
    path = sql_literal(f'$."{name}"')
    return f"json_extract_string(to_json(images.attributes), {path})"


def _unknown(name: str) -> AssignmentError:
    return AssignmentError(
        f"No image has a value of {name!r}: name a column of anomaly.effective_images, such as category, "
        "or an attribute."
    )


def near_duplicates(connection: duckdb.DuckDBPyConnection) -> list[NearDuplicate]:
    """Return the pairs of the table `near_duplicates`; none if it does not exist."""
    if column_names(connection, "near_duplicates") is None:
        return []
    found = connection.execute(
        """
        SELECT one.content_sha256, other.content_sha256, min(distance)
        FROM near_duplicates AS pairs
        JOIN facts AS one ON one.image_id = pairs.image_id_a
        JOIN facts AS other ON other.image_id = pairs.image_id_b
        GROUP BY ALL
        """
    ).fetchall()
    return [NearDuplicate(*row) for row in found]
