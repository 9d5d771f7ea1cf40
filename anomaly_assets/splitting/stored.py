"""Read images, near duplicates and assignments from the warehouse, and write assignments to it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import duckdb

from anomaly_assets.splitting.assignment_file import AssignmentError
from anomaly_assets.splitting.contents import SOURCE, Image, Line, NearDuplicate
from anomaly_assets.splitting.plan import HELD_OUT, Plan, PlanError
from anomaly_assets.tables.sql_text import attribute_names, column_names, sql_literal

if TYPE_CHECKING:
    import pyarrow as pa

_LINES = "content_sha256, fold, unit, decided_by, group_value, image_id"
"""Columns of `assigned_contents`, in the order of the fields of `Line`."""


def stored_names(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the names of all assignments of the warehouse."""
    found = connection.execute("SELECT assignment FROM assignments ORDER BY ALL").fetchall()
    return [name for (name,) in found]


def stored_plan(connection: duckdb.DuckDBPyConnection, name: str) -> Plan | None:
    """Return the options of an assignment of the warehouse; None if there is none.

    Raises:
        AssignmentError: A later release created it, with options that this release does not support.
    """
    query = "SELECT options FROM assignments WHERE assignment = ?"
    found = connection.execute(query, [name]).fetchone()
    try:
        return Plan.of(json.loads(found[0])) if found else None
    except PlanError as error:
        raise AssignmentError(
            f"The options of the assignment {name} cannot be used: {error} Update anomaly_assets, or "
            f"remove it with `anomaly-assets split --name {name} --remove`."
        ) from None


def stored_lines(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, Line]:
    """Return the lines of a stored assignment, by the SHA-256 of the file."""
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


@dataclass(frozen=True)
class Decoded:
    """Decoded images, as a plan sees them.

    Attributes:
        images: Images that the plan takes.
        held_out: Contents with an image in a split that the plan does not take, each with a line that has
            the fold of that split.
        missing: Columns and attributes of the plan of which no image has a value.
    """

    images: list[Image]
    held_out: dict[str, Line]
    missing: list[str]


def decoded_images(connection: duckdb.DuckDBPyConnection, plan: Plan) -> Decoded:
    """Return the decoded images of the warehouse.

    Args:
        connection: The warehouse.
        plan: Options of the assignment.
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
    missing = [
        name
        for place, name in enumerate(names, 4)
        if rows and all(row[place] is None for row in rows)
    ]
    images = []
    held_out: dict[str, Line] = {}
    for image_id, content, source_dataset, split, *found in rows:
        grouped = plan.group is not None and found[-1] is not None
        group = f"{source_dataset}/{found[-1]}" if grouped else ""
        if split in plan.taken:
            stratum = tuple(value or "" for value in found[: len(plan.by)])
            images.append(Image(image_id, content, stratum, group))
        elif split in HELD_OUT:
            line = Line(content, HELD_OUT[split], content, SOURCE, group, image_id)
            held_out.setdefault(content, line)
    return Decoded(images, held_out, missing)


def _value(name: str, columns: Collection[str]) -> str:
    """Return a SQL expression for the value of a column or attribute of an image, as text."""
    if name in columns:
        return f'images."{name}"::VARCHAR'
    name = name.removeprefix("attributes.")
    if "attributes" not in columns or '"' in name:
        return "NULL::VARCHAR"
    path = sql_literal(f'$."{name}"')
    return f"json_extract_string(to_json(images.attributes), {path})"


def refuse_missing(
    connection: duckdb.DuckDBPyConnection, plan: Plan, missing: Sequence[str]
) -> None:
    """Raise an error if no image has a value of a column or attribute of a new plan.

    Raises:
        AssignmentError: There is one; the message lists what exists.
    """
    if not missing:
        return
    columns = column_names(connection, "effective_images") or set()
    attributes = attribute_names(connection, "effective_images")
    raise AssignmentError(
        f"{plan.columns[missing[0]]} {missing[0]}: no image has a value of it. Columns: "
        f"{', '.join(sorted(columns - {'attributes'}))}. Attributes: {', '.join(attributes) or 'none'}."
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
