"""Keep the files of a root in Arrow columns, because Python objects take several times as much memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from anomaly_assets.roots.base import FileEntry

PIECE = 8_192
"""Number of files that are Python objects at the same time."""

_SCHEMA = pa.schema(
    {
        "canonical_path": pa.large_binary(),
        "path": pa.large_binary(),  # null if it is the canonical one
        "size_bytes": pa.int64(),
        "modified_at": pa.timestamp("us", "UTC"),
        "version": pa.large_string(),
        "problem": pa.string(),
        "name": pa.large_binary(),
    }
)

Listed = tuple[str, FileEntry]
"""Canonical path and file."""


class Entries(Sequence[Listed]):
    """Files of a root with their canonical paths, in order: by depth and path.

    Among files with one canonical path, the one with the canonical spelling is first.

    Args:
        files: The files, in any order.
    """

    def __init__(self, files: Iterable[FileEntry]) -> None:
        pieces = iter(partial(lambda each: list(islice(each, PIECE)), iter(files)), [])
        table = pa.Table.from_batches(map(compacted, map(_batch, pieces)), _SCHEMA).combine_chunks(
            memory_pool=pa.system_memory_pool()
        )
        depth = pc.count_substring(table["canonical_path"], "/")
        own = pc.fill_null(table["path"], b"")  # before any other text
        keys = pa.table([depth, table["canonical_path"], own], ["depth", "canonical", "own"])
        order = pc.sort_indices(keys, [(key, "ascending") for key in keys.column_names])
        self._order = order.to_numpy().astype(np.int64)
        # A column of nulls takes as much memory as one of empty texts.
        arrays = [
            pa.nulls(len(table)) if column.null_count == len(table) else column.chunk(0)
            for column in table.columns
        ]
        self._batch = pa.record_batch(arrays, names=_SCHEMA.names)

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, position: int) -> Listed: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[Listed]: ...
    def __getitem__(self, position: int | slice) -> Listed | Sequence[Listed]:
        if isinstance(position, slice):
            return [*self.at(range(len(self))[position])]
        place = int(self._order[position])
        values = [self._batch[number][place].as_py() for number in range(len(_SCHEMA))]
        canonical, own, name = (_text(values[number]) for number in (0, 1, 6))
        assert canonical is not None
        size, modified, version, problem = values[2:6]
        path = canonical if own is None else own
        return canonical, FileEntry(path, size, modified, version, problem, name)

    def __iter__(self) -> Iterator[Listed]:
        return self.at(range(len(self)))

    def at(self, positions: Sequence[int]) -> Iterator[Listed]:
        """Yield the files at these positions."""
        for start in range(0, len(positions), PIECE):
            piece = self.columns(positions[start : start + PIECE])
            canonical, own, names = (
                texts(piece[name]) for name in ("canonical_path", "path", "name")
            )
            rest = [piece[name].to_pylist() for name in _SCHEMA.names[2:6]]
            each = zip(canonical, own, names, *rest, strict=True)
            for path, its, name, size, modified, version, problem in each:
                yield path, FileEntry(its or path, size, modified, version, problem, name)

    def columns(self, positions: Sequence[int]) -> pa.RecordBatch:
        """Return the columns of the files at these positions, in the order of the positions."""
        return self._batch.take(pa.array(self._order[np.asarray(positions, np.int64)]))

    def path(self, position: int) -> str:
        """Return the canonical path of one file."""
        return str(_text(self._batch[0][int(self._order[position])].as_py()))

    def paths(self) -> Iterator[str]:
        """Yield the canonical paths in order."""
        return (path for path, _ in self.with_problems())

    def with_problems(self) -> Iterator[tuple[str, str | None]]:
        """Yield the canonical path of each file with its problem, in order."""
        for start in range(0, len(self), PIECE):
            piece = self._batch.take(pa.array(self._order[start : start + PIECE]))
            paths = texts(piece["canonical_path"])
            problems = (
                piece["problem"].to_pylist() if piece["problem"].null_count < len(paths) else ()
            )
            yield from zip(paths, problems or [None] * len(paths), strict=True)


def texts(column: pa.Array) -> list[Any]:
    """Return the texts of a column of `binaries`."""
    try:
        return column.cast(pa.large_string()).to_pylist()
    except pa.ArrowInvalid:  # names that are not UTF-8
        return [*map(_text, column.to_pylist())]


def binaries(values: Sequence[str | None]) -> pa.Array:
    """Return texts as UTF-8, including names with bytes that are not UTF-8."""
    try:
        return pa.array(values, pa.large_binary())
    except UnicodeEncodeError:
        encoded = [
            None if each is None else each.encode("utf-8", "surrogatepass") for each in values
        ]
        return pa.array(encoded, pa.large_binary())


def compacted(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the same rows in one piece of memory: many small ones leave gaps between them."""
    buffer = batch.serialize(memory_pool=pa.system_memory_pool())
    return pa.ipc.read_record_batch(buffer, batch.schema)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "surrogatepass")


def _batch(files: Sequence[FileEntry]) -> pa.RecordBatch:
    canonical = [each.canonical_path for each in files]
    own = [
        None if each.path == path else each.path
        for each, path in zip(files, canonical, strict=True)
    ]
    columns = [
        binaries(canonical),
        binaries(own),
        *(
            pa.array([getattr(each, name) for each in files], _SCHEMA.field(name).type)
            for name in _SCHEMA.names[2:6]
        ),
        binaries([each.name for each in files]),
    ]
    return pa.record_batch(columns, schema=_SCHEMA)
