"""Test random histories: no correction is ever applied to another content than it was made for.

A history is a sequence of runs. Between two of them, files are rewritten, renamed, swapped and removed, and
lines are added, edited, removed and restored. A run decodes, rejects or misses a changed file at random, as
an interrupted run does. All histories share one warehouse, each with its own names and contents.

The model is small. A line with a digest is for that content. Any other line is for the content that the
file of that name had when a line of its image, field and time was first read.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone

import duckdb
import pyarrow as pa
import pytest

from anomaly_assets.curation.correction_files import CorrectionLine, as_table
from anomaly_assets.tables.corrections import pin_decoded, replace_lines
from anomaly_assets.tables.ddl import LABEL_VIEWS, ensure_tables, refresh

HISTORIES = 1000
RUNS = 8
VALUES = {
    "label": ("good", "anomalous", "unknown"),
    "split": ("train", "test", "validation"),
    "exclude": ("true", "false"),
}
Key = tuple[str | None, str | None, datetime | None]


@dataclass(frozen=True)
class File:
    """A file: its content, version, and modification time in seconds."""

    content: str
    version: str
    modified: int


@dataclass
class World:
    """One history: the files of a root, a correction file, and what the warehouse decoded.

    Attributes:
        names: Names that files may have.
        contents: Contents that files may have.
        files: The present files by name.
        lines: The present lines.
        gone: Lines that were removed, and may be restored.
        decoded: The decoded files by name.
        meant: Content that a line without digest is for, by image, field and time.
    """

    number: int
    random: random.Random
    files: dict[str, File] = field(default_factory=dict)
    lines: list[CorrectionLine] = field(default_factory=list)
    gone: list[CorrectionLine] = field(default_factory=list)
    decoded: dict[str, File] = field(default_factory=dict)
    meant: dict[Key, str | None] = field(default_factory=dict)
    clock: int = 1_000

    def __post_init__(self) -> None:
        self.names = [f"line/{self.number}/{name}" for name in "abc"]
        self.contents = [f"{self.number:063d}{digit}" for digit in "012"]
        for name in self.names:
            self._write(name, self.random.choice(self.contents))

    def _write(self, name: str, content: str) -> None:
        """Write a file: a new version, with the present time or, as unzipped files, an old one."""
        self.clock += 1
        modified = self.clock if self.random.random() < 0.5 else self.random.randrange(self.clock)
        self.files[name] = File(content, f"v{self.clock}", modified)

    def change_files(self) -> None:
        for _ in range(self.random.randrange(3)):
            name, other = self.random.choice(self.names), self.random.choice(self.names)
            kind = self.random.choice(("rewrite", "touch", "move", "swap", "remove"))
            if kind == "rewrite":
                self._write(name, self.random.choice(self.contents))
            elif kind == "touch" and name in self.files:
                self._write(name, self.files[name].content)
            elif kind == "remove":
                self.files.pop(name, None)
            elif other in self.files:
                moved = {name: self.files.pop(other)}
                if kind == "swap" and name in self.files:
                    moved[other] = self.files[name]
                self.files |= moved

    def change_lines(self) -> None:
        for _ in range(self.random.randrange(3)):
            self.clock += 1
            kind = self.random.choice(("add", "add", "add", "remove", "restore", "edit"))
            if kind == "remove" and self.lines:
                self.gone.append(self.lines.pop(self.random.randrange(len(self.lines))))
            elif kind == "restore" and self.gone:
                self.lines.append(self.random.choice(self.gone))
            elif kind == "edit" and self.lines:
                place = self.random.randrange(len(self.lines))
                value = self.random.choice(VALUES[str(self.lines[place].field)])
                self.lines[place] = self.lines[place]._replace(used_value=value)
            elif kind == "add":
                self.lines.append(self._line())

    def _line(self) -> CorrectionLine:
        chosen, how = (
            self.random.choice([*VALUES]),
            self.random.choice(("id", "id", "both", "content", "at")),
        )
        return CorrectionLine(
            f"{self.number}.csv",
            0,
            image_id=None if how == "content" else self.random.choice(self.names),
            content_sha256=self.random.choice(self.contents)
            if how in ("both", "content")
            else None,
            field=chosen,
            used_value=self.random.choice(VALUES[chosen]),
            corrected_at=datetime.fromtimestamp(self.clock, timezone.utc) if how == "at" else None,
        )

    def read_lines(self) -> list[CorrectionLine]:
        """Number the lines, and note what each one without digest is for when it is first read."""
        self.lines = [line._replace(line=number) for number, line in enumerate(self.lines)]
        for line in self.lines:
            if line.content_sha256 is None:
                file = self.files.get(str(line.image_id))
                self.meant.setdefault(_key(line), file.content if file else None)
        return self.lines

    def decode(self) -> None:
        """Decode, miss or reject each file that is not decoded in its version."""
        for name in self.names:
            file = self.files.get(name)
            if file is None:
                self.decoded.pop(name, None)
            elif self.decoded.get(name) != file:
                luck = self.random.random()
                if luck < 0.8:
                    self.decoded[name] = file
                elif luck < 0.9:
                    self.decoded.pop(name, None)

    def is_meant(self, line: CorrectionLine, name: str) -> bool:
        """Return whether a line is for the decoded content of an image."""
        content = self.decoded[name].content
        if line.image_id not in (None, name):
            return False
        return content == (line.content_sha256 or self.meant[_key(line)])


def _key(line: CorrectionLine) -> Key:
    return line.image_id, line.field, line.corrected_at


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a warehouse in memory that has the source dataset `line`."""
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        ensure_tables(connection)
        refresh(connection, *LABEL_VIEWS)
        catalogue = connection.execute("FROM images LIMIT 0").to_arrow_table()
        connection.register("catalogue", catalogue)
        connection.execute("CREATE SCHEMA line; CREATE TABLE line.images AS FROM catalogue")
        ensure_tables(connection)
        refresh(connection, *LABEL_VIEWS)
        yield connection


def write_rows(
    connection: duckdb.DuckDBPyConnection, table: str, rows: list[dict[str, object]]
) -> None:
    connection.execute(f"DELETE FROM {table}")
    connection.register("rows", pa.Table.from_pylist(rows))
    connection.execute(f"INSERT INTO {table} BY NAME FROM rows")
    connection.unregister("rows")


def listed(world: World) -> list[dict[str, object]]:
    return [
        {
            **{
                "image_id": name,
                "source_dataset": "line",
                "category": "line",
                "label_source": "path",
            },
            **{"split": "unassigned", "label": "good", "label_index": 0, "path_label_index": 0},
            "file_version": file.version,
            "modified_at": datetime.fromtimestamp(file.modified, timezone.utc),
        }
        for name, file in world.files.items()
    ]


def facts(world: World) -> list[dict[str, object]]:
    return [
        {
            **{"image_id": name, "file_version": file.version, "content_sha256": file.content},
            **{"original_width": 1, "original_height": 1, "original_mode": "L"},
        }
        for name, file in world.decoded.items()
    ]


@pytest.mark.slow
def test_no_correction_is_applied_to_another_content_in_1000_random_histories(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    worlds = [World(number, random.Random(number)) for number in range(HISTORIES)]
    applied = with_digest = 0
    for _ in range(RUNS):
        for world in worlds:
            # In any order: an author looks at a file or at the published database.
            for change in world.random.sample([world.change_files, world.change_lines], 2):
                change()
        write_rows(connection, "line.images", [row for world in worlds for row in listed(world)])
        lines = [line for world in worlds for line in world.read_lines()]
        replace_lines(connection, as_table(lines))
        for world in worlds:
            world.decode()
        write_rows(connection, "facts", [row for world in worlds for row in facts(world)])
        pin_decoded(connection)
        by_place = {(line.file, line.line): line for line in lines}
        found = connection.execute(
            "SELECT image_id, field, value, places FROM corrected_fields"
        ).fetchall()
        values = {(image_id, field): value for image_id, field, value, _ in found}
        wrong = []
        for image_id, corrected, value, places in found:
            world = worlds[int(image_id.split("/")[1])]
            for place in places:
                file, _, number = place.rpartition(":")
                line = by_place[file, int(number)]
                if not world.is_meant(line, image_id) or line.field != corrected:
                    wrong.append((image_id, line))
                elif value is not None:
                    assert line.used_value == value
                    applied += 1
        assert wrong == []
        for line in lines:  # a line with a digest is applied wherever it should be
            world = worlds[int(line.file.removesuffix(".csv"))]
            for name in world.decoded if line.content_sha256 else ():
                if world.is_meant(line, name):
                    assert values[name, line.field] in (None, line.used_value)
                    with_digest += 1
        effective = connection.execute(
            "SELECT image_id, label, split FROM effective_images"
        ).fetchall()
        for image_id, label, split in effective:
            assert label == (values.get((image_id, "label")) or "good")
            assert split == (values.get((image_id, "split")) or "unassigned")
            assert values.get((image_id, "exclude")) != "true"
        statuses = connection.execute(
            "SELECT status, count(*) FROM corrections GROUP BY ALL"
        ).fetchall()
        assert {"applied", "other_content"} <= dict(statuses).keys()
    assert applied > with_digest > HISTORIES  # lines without a digest are applied too
